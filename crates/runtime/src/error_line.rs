//! How a program that was asked for JSON says what went wrong: `{code, reason, message}`, one object a line, on standard
//! error.

use std::io::Write as _;

use serde::Serialize;

/// What went wrong, in the shape that scripts read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorLine<'a> {
    /// The name of the nearest gRPC code: `UNAVAILABLE`.
    pub code: &'a str,
    /// A stable word.
    pub reason: &'a str,
    /// One sentence.
    pub message: &'a str,
}

/// Whether a command line asks for JSON, also one that does not parse.
pub fn wants_json(words: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> bool {
    words.into_iter().take_while(|word| word.as_ref() != "--").any(|word| word.as_ref() == "--json")
}

impl ErrorLine<'_> {
    /// For a command line that does not parse: the first line of what clap says of it.
    pub fn print_usage(error: &clap::Error) {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        ErrorLine { code: "INVALID_ARGUMENT", reason: "usage", message }.print();
    }

    /// Writes the line to standard error. Nothing is left to tell it to when that is closed.
    pub fn print(&self) {
        let mut line = serde_json::to_string(self).expect("three strings are JSON");
        line.push('\n');
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_wanted_before_the_end_of_the_options_only() {
        assert!(wants_json(["ps", "--json", "--nonsense"]));
        assert!(!wants_json(["with-postgres", "--", "x", "--json"]));
        assert!(!wants_json(["--jsonl"]));
    }
}
