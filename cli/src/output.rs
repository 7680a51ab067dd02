//! Who says what where: answers on stdout, all else on stderr.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use crate::args::Global;
use crate::exit::{Exit, Failure};
use crate::render;

/// The form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How much is said while something is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notes {
    /// Bars that move.
    Bars,
    /// A line now and then.
    Lines,
    /// Nothing.
    None,
}

/// stdout and stderr, as the flags want them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The form of answers.
    pub(crate) format: Format,
    /// How much is said meanwhile.
    pub(crate) notes: Notes,
}

// === impl Output ===

impl Output {
    /// With --json stderr carries nothing but errors, so that it can be parsed too.
    pub(crate) fn new(global: &Global) -> Self {
        let format = if global.json { Format::Json } else { Format::Text };
        let notes = match (global.quiet || global.json, io::stderr().is_terminal()) {
            (true, _) => Notes::None,
            (false, true) => Notes::Bars,
            (false, false) => Notes::Lines,
        };
        Self { format, notes }
    }

    /// Writes whole lines to stdout.
    #[expect(clippy::unused_self, reason = "who writes answers holds the Output, so that nobody else does")]
    pub(crate) fn print(self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| stdout_failure(&error))
    }

    /// Says something by the way.
    pub(crate) fn note(self, text: &str) {
        if self.notes != Notes::None {
            // A closed stderr is no reason to fail.
            let _ = writeln!(io::stderr().lock(), "{}", render::plain(text));
        }
    }

    /// Says why the program failed, if it did, and answers how it ends.
    pub(crate) fn end(self, result: Result<(), Failure>) -> ExitCode {
        let Err(failure) = result else { return Exit::Done.into() };
        if failure.exit != Exit::Done {
            let line = match self.format {
                Format::Text => render::text::error(&failure),
                Format::Json => render::json::error(&failure),
            };
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
        failure.exit.into()
    }
}

/// Why stdout does not take what is written.
pub(crate) fn stdout_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::stdout_closed()
    } else {
        Failure::local("cannot write to stdout", error)
    }
}
