//! Starting again what ended by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::part::Part;
use super::{Stack, State};
use crate::Exit;

/// How often the programs are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The wait before the first and before every later start of a program that keeps ending.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// A program that ran so long has recovered: its next wait is the first one again.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);

/// A program that has ended by itself at some time.
struct Trouble {
    delay: Duration,
    /// When it is to be started next; nothing when that was done.
    due: Option<Instant>,
    last_start: Instant,
    /// Whether its start is under way: it may wait for another program that is to be started again.
    is_starting: bool,
}

impl Stack {
    /// Watches the programs for ever: one that ended by itself is reported with the end of its log and started again,
    /// with growing pauses, whatever the others do. What `stop` or `kill` ended is left alone. Never returns; drop it to
    /// stop watching.
    pub async fn supervise(&self) {
        let mut troubles: HashMap<String, Trouble> = HashMap::new();
        let mut starts = FuturesUnordered::new();
        loop {
            for part in self.parts() {
                let State::Exited(exit) = part.state() else { continue };
                if self.is_due(&mut troubles, part.name(), exit) {
                    starts.push(self.start_again(part));
                }
            }
            tokio::select! {
                Some(name) = starts.next() => {
                    if let Some(trouble) = troubles.get_mut(&name) {
                        trouble.is_starting = false;
                    }
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Reports a program that has ended when that is new, and decides whether it is to be started now.
    fn is_due(&self, troubles: &mut HashMap<String, Trouble>, name: &str, exit: Exit) -> bool {
        let now = Instant::now();
        let before = troubles.get(name);
        if before.is_some_and(|trouble| trouble.is_starting) {
            return false;
        }
        if before.is_none_or(|trouble| trouble.due.is_none()) {
            let delay = next_delay(before, now);
            self.inner.settings.progress.say(format!(
                "{name} ended by itself ({exit}); it is started again in {} s; the end of {}:\n{}",
                delay.as_secs(),
                self.log(name).display(),
                self.log_tail(name, 10),
            ));
            let last_start = before.map_or(now, |trouble| trouble.last_start);
            let trouble = Trouble { delay, due: Some(now + delay), last_start, is_starting: false };
            troubles.insert(name.to_owned(), trouble);
        }
        let Some(trouble) = troubles.get_mut(name) else { return false };
        let is_due = trouble.due.is_some_and(|due| due <= now);
        if is_due {
            (trouble.due, trouble.last_start, trouble.is_starting) = (None, now, true);
        }
        is_due
    }

    async fn start_again(&self, part: Arc<Part>) -> String {
        let progress = &self.inner.settings.progress;
        let name = part.name().to_owned();
        match part.start_again(&self.inner.guards, progress).await {
            Ok(()) => progress.say(format!("{name} runs again")),
            Err(error) => progress.say(format!("{name} could not be started again: {error:#}")),
        }
        name
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
