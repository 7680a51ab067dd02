//! Which argument is a file and which the destination.

use std::path::{Path as LocalPath, PathBuf};

use super::Job;
use crate::commands::paths::parse_path;
use crate::exit::Failure;
use crate::source::Source;

/// Sorts the arguments out and looks at every file, so that nothing is stored when one is missing.
pub(super) fn jobs(
    args: &[PathBuf],
    to: Option<&str>,
    find: fn(&LocalPath) -> Result<Source, Failure>,
) -> Result<Vec<Job>, Failure> {
    let (files, destination) = match (to, args) {
        (Some(to), files) => (files, Some(to)),
        (None, [file]) => (std::slice::from_ref(file), None),
        (None, [files @ .., last]) => (files, Some(text(last)?)),
        (None, []) => return Err(Failure::usage("name a file to store")),
    };
    let folder = match destination {
        None | Some("/") => Some(""),
        Some(destination) => destination.strip_suffix('/'),
    };
    if files.len() > 1 && folder.is_none() {
        let destination = destination.unwrap_or_default();
        return Err(Failure::usage(format!(
            "{destination:?} is where to store and must end with / for more than one file; or say --to FOLDER/"
        )));
    }
    if files.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
        return Err(Failure::usage("stdin can be stored once only"));
    }
    files
        .iter()
        .map(|file| {
            let path = match folder {
                Some(folder) => inside(folder, file)?,
                None => destination.unwrap_or_default().to_owned(),
            };
            Ok(Job { path: parse_path(&path)?, source: find(file)? })
        })
        .collect()
}

/// The path in `folder` under the file's own name.
fn inside(folder: &str, file: &LocalPath) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        return Err(Failure::usage("stdin has no name: say where to store it, as in `put - notes/today.txt`"));
    }
    let name = file.file_name().ok_or_else(|| Failure::usage(format!("{} has no name", file.display())))?;
    let name = text(LocalPath::new(name))?;
    Ok(if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") })
}

fn text(argument: &LocalPath) -> Result<&str, Failure> {
    argument
        .to_str()
        .ok_or_else(|| Failure::usage(format!("the name {} is not UTF-8; say where to store it", argument.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(args: &[&str], to: Option<&str>) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let local = |arg: &&str| if matches!(*arg, "a" | "b") { folder.path().join(arg) } else { PathBuf::from(arg) };
        let args: Vec<PathBuf> = args.iter().map(local).collect();
        let shown = |job: Job| job.path.to_string();
        jobs(&args, to, Source::find)
            .map(|jobs| jobs.into_iter().map(shown).collect())
            .map_err(|failure| failure.message)
    }

    #[test]
    fn files_keep_their_names_unless_told_otherwise() {
        let cases: [(&[&str], Option<&str>, &[&str]); 10] = [
            (&["a"], None, &["a"]),
            (&["a", "x"], None, &["x"]),
            (&["a", "docs/x"], None, &["docs/x"]),
            (&["a", "docs/"], None, &["docs/a"]),
            (&["a", "/"], None, &["a"]),
            (&["a", "b", "docs/"], None, &["docs/a", "docs/b"]),
            (&["a", "b"], Some("docs/"), &["docs/a", "docs/b"]),
            (&["a", "b"], Some("/"), &["a", "b"]),
            (&["a"], Some("x"), &["x"]),
            (&["-", "x"], None, &["x"]),
        ];
        for (args, to, expected) in cases {
            assert_eq!(plan(args, to).unwrap(), expected, "{args:?} --to {to:?}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        let cases: [(&[&str], Option<&str>, &str); 7] = [
            (&["a", "b", "x"], None, "must end with /"),
            (&["a", "b"], Some("x"), "must end with /"),
            (&["-"], None, "stdin has no name"),
            (&["-", "docs/"], None, "stdin has no name"),
            (&["-", "-", "docs/"], None, "stdin can be stored once only"),
            (&["a", "/x"], None, "starts with a slash"),
            (&["a", "x//"], None, "two slashes in a row"),
        ];
        for (args, to, expected) in cases {
            let message = plan(args, to).unwrap_err();
            assert!(message.contains(expected), "{args:?} --to {to:?}: {message}");
        }
    }
}
