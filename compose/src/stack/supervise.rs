//! Starting again what ended by itself.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Stack, State};

/// How often the programs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The wait before the first and before every later start of a program that keeps ending.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A program that ran so long has recovered: its next wait is the first one again.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);

struct Trouble {
    delay: Duration,
    due: Instant,
    last_start: Instant,
}

impl Stack {
    /// Watches the programs for ever: one that ended by itself is reported with the end of its log and started again,
    /// with growing pauses. What `stop` or `kill` ended is left alone. Never returns; drop it to stop watching.
    pub async fn supervise(&self) {
        let mut troubles: HashMap<String, Trouble> = HashMap::new();
        loop {
            for part in self.parts() {
                let name = part.name().to_owned();
                let State::Exited(exit) = part.state() else { continue };
                let now = Instant::now();
                let known = troubles.get(&name).is_some_and(|trouble| trouble.due > trouble.last_start);
                if !known {
                    let delay = next_delay(troubles.get(&name), now);
                    self.inner.settings.progress.say(format!(
                        "{name} ended by itself ({exit}); it is started again in {} s; the end of {}:\n{}",
                        delay.as_secs(),
                        self.log(&name).display(),
                        self.log_tail(&name, 10),
                    ));
                    let last_start = troubles.get(&name).map_or(now, |trouble| trouble.last_start);
                    troubles.insert(name.clone(), Trouble { delay, due: now + delay, last_start });
                }
                let Some(trouble) = troubles.get_mut(&name).filter(|trouble| trouble.due <= now) else { continue };
                trouble.last_start = Instant::now().max(trouble.due);
                let progress = &self.inner.settings.progress;
                match part.start_again(&self.inner.compose, progress).await {
                    Ok(()) => progress.say(format!("{name} runs again")),
                    Err(error) => progress.say(format!("{name} could not be started again: {error:#}")),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn next_delay(before: Option<&Trouble>, now: Instant) -> Duration {
    match before {
        Some(trouble) if now.duration_since(trouble.last_start) < RECOVERED_AFTER => {
            (trouble.delay * 2).min(LONGEST_DELAY)
        }
        Some(_) | None => FIRST_DELAY,
    }
}
