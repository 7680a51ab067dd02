//! Paths as they are written on the command line.

use proto::Path;

use crate::exit::Failure;

/// Checks a path here, so that a wrong one costs no round trip and is wrong usage.
pub(super) fn parse_path(text: &str) -> Result<Path, Failure> {
    text.parse().map_err(|invalid: proto::Invalid| Failure::usage(format!("the path {text:?} {}", invalid.problem)))
}

/// The path of a folder, or of what may be one: a slash at its end says nothing more.
pub(super) fn parse_folder(text: &str) -> Result<Path, Failure> {
    parse_path(text.strip_suffix('/').unwrap_or(text))
}

/// A folder to look into, as the API wants it: empty is the space's root.
pub(super) fn parse_root(text: Option<&str>) -> Result<String, Failure> {
    match text {
        None | Some("" | "/") => Ok(String::new()),
        Some(folder) => Ok(parse_folder(folder)?.to_string()),
    }
}

/// Where `from` goes: `to` itself, or under its own name in the folder `to` when that ends in a slash.
pub(super) fn destination(from: &Path, to: &str) -> Result<Path, Failure> {
    match to.strip_suffix('/') {
        None => parse_path(to),
        Some("") => parse_path(from.name().as_str()),
        Some(folder) => parse_path(&format!("{}/{}", parse_path(folder)?, from.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_means_into_the_folder() {
        let from = parse_path("docs/a.txt").unwrap();
        for (to, expected) in
            [("b", "b"), ("b/", "b/a.txt"), ("/", "a.txt"), ("x/y/", "x/y/a.txt"), ("docs/", "docs/a.txt")]
        {
            assert_eq!(destination(&from, to).unwrap().as_str(), expected, "{to:?}");
        }
        for wrong in ["", "/b", "b//", "//", "../"] {
            assert_eq!(destination(&from, wrong).unwrap_err().reason, "usage", "{wrong:?}");
        }
    }

    #[test]
    fn the_root_is_no_path() {
        assert_eq!(parse_root(None).unwrap(), "");
        assert_eq!(parse_root(Some("/")).unwrap(), "");
        assert_eq!(parse_root(Some("docs/")).unwrap(), "docs");
        assert_eq!(parse_folder("docs/").unwrap().as_str(), "docs");
        assert_eq!(parse_folder("/").unwrap_err().reason, "usage");
    }
}
