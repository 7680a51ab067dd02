//! How far a long piece of work is: one line that changes on a terminal, log lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use tokio::time::Instant;

/// Says now and then how far it is.
#[derive(Debug)]
pub(crate) struct Progress {
    /// What is done to the events, in the past tense.
    verb: &'static str,
    started: Instant,
    /// Where it began.
    from: u64,
    said: Instant,
    every: Duration,
    terminal: bool,
    /// Whether a line stands on the terminal that the next one overwrites.
    open: bool,
}

/// Numbers of a run that has ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
}

impl Progress {
    /// Of work that goes on after event `from`.
    pub(crate) fn new(verb: &'static str, from: u64, every: Duration) -> Self {
        let now = Instant::now();
        Self { verb, started: now, from, said: now, every, terminal: std::io::stderr().is_terminal(), open: false }
    }

    /// Of work from the beginning that nobody watches: it says nothing.
    pub(crate) fn silent(verb: &'static str) -> Self {
        Self::new(verb, 0, Duration::MAX)
    }

    /// Says how far it is, if it is time to.
    pub(crate) fn at(&mut self, n: u64, to: u64) {
        if self.said.elapsed() < self.every {
            return;
        }
        self.said = Instant::now();
        let line = line(self.verb, self.pace(n), n, to);
        if self.terminal {
            // Nothing is left to tell it to when standard error is closed.
            let _ = write!(std::io::stderr(), "\r\x1b[2K{line}");
            self.open = true;
        } else {
            tracing::info!(seq = n, "{line}");
        }
    }

    /// Ends the line on the terminal.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.open) {
            let _ = writeln!(std::io::stderr());
        }
    }

    /// How fast it was.
    pub(crate) fn pace(&self, n: u64) -> Pace {
        Pace { events: n.saturating_sub(self.from), seconds: self.started.elapsed().as_secs_f64() }
    }
}

impl Pace {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(crate) fn per_second(self) -> f64 {
        if self.seconds > 0.0 { self.events as f64 / self.seconds } else { 0.0 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
fn line(verb: &str, pace: Pace, n: u64, to: u64) -> String {
    let rate = pace.per_second();
    let left = to.saturating_sub(n);
    let eta = if rate > 0.0 { format!("{:.0} s left", left as f64 / rate) } else { "no estimate yet".to_owned() };
    format!("{verb} {n} of {to} events, {rate:.0} a second, {eta}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_rate_and_estimate() {
        let pace = Pace { events: 1000, seconds: 2.0 };
        assert_eq!(line("folded", pace, 1000, 3000), "folded 1000 of 3000 events, 500 a second, 4 s left");
        let pace = Pace { events: 0, seconds: 2.0 };
        assert_eq!(line("exported", pace, 0, 3000), "exported 0 of 3000 events, 0 a second, no estimate yet");
    }
}
