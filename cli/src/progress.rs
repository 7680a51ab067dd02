//! How far a transfer has come: a bar on a terminal, a line every few seconds elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{Notes, Output};
use crate::render;

/// A line elsewhere than on a terminal comes this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// One transfer.
pub(crate) struct Progress {
    output: Output,
    what: String,
    total_bytes: Option<u64>,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
    Nothing,
}

struct Lines {
    done_bytes: u64,
    last_at: Instant,
}

// === impl Progress ===

impl Progress {
    /// Starts to show `what`, such as `sending a.txt`.
    pub(crate) fn start(output: Output, what: &str, total_bytes: Option<u64>) -> Self {
        let shown = match output.notes {
            Notes::None => Shown::Nothing,
            Notes::Lines => Shown::Lines(Mutex::new(Lines { done_bytes: 0, last_at: Instant::now() })),
            Notes::Bars => Shown::Bar(bar(&render::plain(what), total_bytes)),
        };
        Self { output, what: what.to_owned(), total_bytes, shown }
    }

    /// So many more bytes are done.
    pub(crate) fn add(&self, bytes: u64) {
        match &self.shown {
            Shown::Bar(bar) => bar.inc(bytes),
            Shown::Lines(lines) => {
                let mut lines = lines.lock().expect("nobody panics while holding the lock");
                lines.done_bytes += bytes;
                if lines.last_at.elapsed() >= LINE_EVERY {
                    lines.last_at = Instant::now();
                    self.output.note(&line(&self.what, lines.done_bytes, self.total_bytes));
                }
            }
            Shown::Nothing => {}
        }
    }

    /// So many bytes are done: a transfer goes on where an earlier one was.
    pub(crate) fn resume(&self, done_bytes: u64) {
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done_bytes);
                // What was done before says nothing about how fast it goes now.
                bar.reset_eta();
            }
            Shown::Lines(lines) => {
                lines.lock().expect("nobody panics while holding the lock").done_bytes = done_bytes;
            }
            Shown::Nothing => {}
        }
    }

    /// Writes something else meanwhile, without the bar in its way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(write),
            Shown::Lines(_) | Shown::Nothing => write(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total_bytes: Option<u64>) -> ProgressBar {
    let form = if total_bytes.is_some() {
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
    } else {
        "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}"
    };
    let style = ProgressStyle::with_template(form).expect("the template is a constant that a test draws");
    let bar = total_bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(style).with_message(what.to_owned())
}

fn line(what: &str, done_bytes: u64, total_bytes: Option<u64>) -> String {
    match total_bytes {
        Some(total_bytes) => {
            let percent = (u128::from(done_bytes) * 100).checked_div(u128::from(total_bytes)).unwrap_or(100);
            format!("{what}: {} of {} ({percent} %)", render::size(done_bytes), render::size(total_bytes))
        }
        None => format!("{what}: {}", render::size(done_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_can_be_drawn() {
        bar("sending a", Some(10)).finish_and_clear();
        bar("sending -", None).finish_and_clear();
    }

    #[test]
    fn lines_say_how_much_of_what() {
        assert_eq!(line("sending a", 50, Some(200)), "sending a: 50 B of 200 B (25 %)");
        assert_eq!(line("sending a", 0, Some(0)), "sending a: 0 B of 0 B (100 %)");
        assert_eq!(line("sending -", 2048, None), "sending -: 2.0 KiB");
    }
}
