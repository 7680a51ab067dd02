use tonic::Code;

use super::*;
use crate::exit::Exit;
use crate::render::samples;

#[test]
fn receipts() {
    let applied = samples::receipt();
    let path = "docs/a (conflicted copy).txt".to_owned();
    let reason = "name_taken_by_folder".to_owned();
    let conflicted =
        v1::Receipt { outcome: v1::Outcome::ConflictedCopy.into(), path, reason: reason.clone(), ..applied.clone() };
    let pending = v1::Receipt { outcome: v1::Outcome::Pending.into(), projected: false, ..applied.clone() };
    let rejected = v1::Receipt { outcome: v1::Outcome::Rejected.into(), reason, ..applied.clone() };
    let all = [applied, conflicted, pending, rejected];
    insta::assert_snapshot!(all.iter().map(|each| receipt(each, "a.txt")).collect::<String>());
}

#[test]
fn downloads() {
    let whole = samples::header();
    let part = v1::DownloadHeader { offset: 5, length: 10, ..whole.clone() };
    insta::assert_snapshot!(
        [whole, part].iter().map(|each| downloaded(each, "docs/a.txt", "./a.txt")).collect::<String>()
    );
}

#[test]
fn files() {
    insta::assert_snapshot!(file(&samples::file()));
    insta::assert_snapshot!("replicas", replicas(&samples::file()));
    let empty = v1::File { path: "empty\x1b[2J".to_owned(), ..v1::File::default() };
    insta::assert_snapshot!("listed", listed(&samples::file()) + &listed(&empty));
}

#[test]
fn event_tables() {
    insta::assert_snapshot!(events(&samples::events()));
}

#[test]
fn statuses() {
    insta::assert_snapshot!(status(&samples::status()));
}

#[test]
fn errors() {
    let server = Failure::new(Exit::FileNotFound, Code::NotFound, "file_not_found", "no file at main/a\nb");
    let bare = Failure::new(Exit::Other, Code::Internal, "", "something is wrong");
    let usage = Failure::usage("- needs a path");
    insta::assert_snapshot!([server, bare, usage].iter().map(error).collect::<Vec<_>>().join("\n"));
}
