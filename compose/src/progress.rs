//! Where the runner tells what it is doing.

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

/// Takes one line at a time of what is going on. A wait is never silent: whatever takes longer than a few seconds says
/// through this what it waits for.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(&str) + Send + Sync>);

impl Progress {
    /// Each line goes to `take`.
    pub fn to(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Each line goes to standard error. A closed standard error is no reason to stop.
    pub fn stderr() -> Self {
        Self::to(|line| {
            let _ = writeln!(std::io::stderr(), "{line}");
        })
    }

    /// Each line goes to standard output.
    pub fn stdout() -> Self {
        Self::to(|line| {
            let _ = writeln!(std::io::stdout(), "{line}");
        })
    }

    /// Nobody listens.
    pub fn silent() -> Self {
        Self::to(|_| ())
    }

    /// Says one line.
    pub fn say(&self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
