use tonic::Code;

use super::*;
use crate::exit::Exit;
use crate::render::samples;

/// An applied receipt, a conflicted copy, one not decided and one that was rejected.
fn outcomes(applied: &v1::Receipt) -> [v1::Receipt; 4] {
    let path = "docs/a (conflicted copy).txt".to_owned();
    let reason = "name_taken_by_folder".to_owned();
    let conflicted =
        v1::Receipt { outcome: v1::Outcome::ConflictedCopy.into(), path, reason: reason.clone(), ..applied.clone() };
    let pending = v1::Receipt { outcome: v1::Outcome::Pending.into(), projected: false, ..applied.clone() };
    let rejected = v1::Receipt { outcome: v1::Outcome::Rejected.into(), reason, ..applied.clone() };
    [applied.clone(), conflicted, pending, rejected]
}

#[test]
fn stored_files() {
    let all = outcomes(&samples::receipt());
    let text: String = all.iter().map(|each| stored(each, "a.txt", Sent::Bytes)).collect();
    insta::assert_snapshot!(text + &stored(&all[0], "a.txt", Sent::Nothing));
}

#[test]
fn deeds() {
    let moved = Deed::new("moved", "docs/b.txt").to("to", "docs/a.txt");
    let folder = v1::Receipt { version_id: String::new(), ..samples::receipt() };
    let made = Deed::new("made", "the folder docs\x1b");
    // Where it is already says nothing.
    let back = Deed::new("brought back", "docs/a.txt").to("as", "docs/a.txt");
    let text: String = outcomes(&samples::receipt()).iter().map(|each| deed(each, &moved)).collect();
    insta::assert_snapshot!(text + &deed(&folder, &made) + &deed(&folder, &back));
}

#[test]
fn receipts() {
    let folder = v1::Receipt {
        outcome: v1::Outcome::Rejected.into(),
        reason: "name_taken".to_owned(),
        projected: true,
        ..v1::Receipt::default()
    };
    insta::assert_snapshot!(receipt(&samples::receipt()) + "\n" + &receipt(&folder));
}

#[test]
fn folders() {
    let entries: String = samples::entries().iter().map(entry).collect();
    insta::assert_snapshot!(entries + &usage(&samples::usage()));
}

#[test]
fn the_trash() {
    let trash = samples::trash();
    let listed: String = trash.iter().map(deleted).collect();
    insta::assert_snapshot!(listed + &found_in_trash(&trash[0]) + "\n" + &found_in_trash(&trash[1]));
}

#[test]
fn version_tables() {
    insta::assert_snapshot!(versions(&samples::versions()));
}

#[test]
fn changes() {
    insta::assert_snapshot!(change(&samples::change()) + &change(&samples::moved()));
}

#[test]
fn undone() {
    let nothing = undo(&v1::UndoResponse::default(), false);
    insta::assert_snapshot!(undo(&samples::undo(), true) + "\n" + &undo(&samples::undo(), false) + "\n" + &nothing);
}

#[test]
fn waiting() {
    insta::assert_snapshot!(waited(&samples::waited()));
}

#[test]
fn space_tables() {
    let all = samples::spaces();
    let deleted = deleted_spaces(&samples::deleted_spaces());
    insta::assert_snapshot!(spaces(&all) + "\n" + &all.iter().map(retention).collect::<String>() + "\n" + &deleted);
}

#[test]
fn prunes() {
    let nothing = pruned(&v1::PruneResponse::default(), true);
    insta::assert_snapshot!(pruned(&samples::pruned(), true) + &pruned(&samples::pruned(), false) + &nothing);
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
fn what_was_given_up() {
    let redrive = v1::RedriveResponse { replicas: 2, sequence: "x-7".to_owned() };
    let nothing = redriven(&v1::RedriveResponse::default());
    insta::assert_snapshot!(parked(&samples::parked()) + &parked(&[]) + &redriven(&redrive) + &nothing);
}

#[test]
fn explanations() {
    insta::assert_snapshot!(explained(&samples::explained()));
}

#[test]
fn retired_nodes() {
    insta::assert_snapshot!(retired("node-b", &samples::retired()));
}

#[test]
fn errors() {
    let server = Failure::new(Exit::FileNotFound, Code::NotFound, "file_not_found", "no file at main/a\nb");
    let bare = Failure::new(Exit::Other, Code::Internal, "", "something is wrong");
    let usage = Failure::usage("- needs a path");
    insta::assert_snapshot!([server, bare, usage].iter().map(error).collect::<Vec<_>>().join("\n"));
}

#[test]
fn audits() {
    let found: String = samples::findings().iter().map(finding).collect();
    insta::assert_snapshot!(found + &audited(&samples::audited()));
}

#[test]
fn recovers() {
    let blobs: String = samples::recovered().iter().map(recovered).collect();
    insta::assert_snapshot!(blobs + &recovery(&samples::recovery()));
}

#[test]
fn placements() {
    let untouched = v1::Placement { copies: 0, sequence: String::new(), ..samples::placement() };
    insta::assert_snapshot!(placement(&samples::placement()) + "\n" + &placement(&untouched));
}
