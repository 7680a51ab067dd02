//! Copies and restored versions: content that is named again.

use fold::rows::{Outcome, VersionKind};
use proto::{Fact, FileCopied, FileId, OnConflict, VersionId};
use uuid::Uuid;

use crate::world::World;

#[test]
fn a_copy_is_a_file_of_its_own_with_the_same_blob() {
    let mut world = World::with(&["d/a"]);
    let (source, blob) = (world.version("d/a"), world.store.versions[&world.version("d/a")].blob_id);
    let fact = world.copy_to("d/a", "e/b");
    let then = world.when(Fact::FileCopied(fact));
    then.applied();
    assert_eq!((then.receipt.version_id, then.receipt.blob_id), (Some(then.id.version_id()), blob));
    assert_eq!(then.receipt.file_id, Some(then.id.file_id()));
    let version = &world.store.versions[&world.version("e/b")];
    assert_eq!((version.kind, version.source_version), (VersionKind::Copy, Some(source)));
    assert_eq!((version.blob_id, version.content_type.as_str()), (blob, "type/5"));
    assert_eq!(world.store.blobs[&blob.unwrap()].refs, 2);
    assert_eq!(world.store.files[&world.file("d/a")].changed_seq, 5, "the source is not touched");
    assert_eq!(world.entries("e"), 1);
}

#[test]
fn any_version_can_be_copied_but_no_tombstone_and_none_of_another_file() {
    let mut world = World::with(&["a", "b"]);
    let first = world.version("a");
    world.uploaded("a");
    let item = world.file_deleted("a");
    let fold::rows::Target::File(file) = item else { panic!("a is a file") };
    let tombstone = world.store.files[&file].version_id;
    world.when(Fact::FileUndeleted(crate::world::undelete(item, "a"))).applied();
    let copy = world.copy_to("a", "c");
    for wrong in [tombstone, world.version("b"), VersionId::new(Uuid::nil())] {
        world.when(Fact::FileCopied(FileCopied { version_id: wrong, ..copy.clone() })).rejected("version_unknown");
        let restored = world.restore("a", wrong);
        world.when(Fact::VersionRestored(restored)).rejected("version_unknown");
    }
    world.when(Fact::FileCopied(FileCopied { version_id: first, ..copy.clone() })).applied();
    assert_eq!(world.store.versions[&world.version("c")].source_version, Some(first));
    let pruned = world.prune(&[(first, file, None)]);
    world.when(Fact::VersionsPruned(pruned)).applied();
    world.when(Fact::FileCopied(FileCopied { version_id: first, ..copy })).rejected("version_pruned");
    let restored = world.restore("a", first);
    world.when(Fact::VersionRestored(restored)).rejected("version_pruned");
}

#[test]
fn a_copy_is_of_the_file_that_was_meant() {
    let mut world = World::with(&["a", "b"]);
    let stale = world.copy_to("a", "c");
    let other = FileCopied { file_id: FileId::new(Uuid::nil()), ..stale.clone() };
    world.when(Fact::FileCopied(other)).rejected("moved");
    let fact = world.move_to("a", "d");
    world.when(Fact::FileMoved(fact)).applied();
    world.when(Fact::FileCopied(stale)).rejected("moved");
}

/// To, whether `if_version` is none, right or wrong, the conflict rule; then the outcome and reason.
#[test]
fn the_target_is_treated_as_by_an_upload_but_for_places_that_cannot_be_had() {
    use OnConflict::{Fail, KeepBoth, Overwrite};
    let cases = [
        ("f", "none", Fail, Outcome::Rejected, "file_exists"),
        ("f", "none", Overwrite, Outcome::Applied, ""),
        ("f", "none", KeepBoth, Outcome::ConflictedCopy, "file_exists"),
        ("f", "right", Fail, Outcome::Applied, ""),
        ("f", "right", Overwrite, Outcome::Applied, ""),
        ("f", "right", KeepBoth, Outcome::Applied, ""),
        ("f", "wrong", Fail, Outcome::Rejected, "version_changed"),
        ("f", "wrong", Overwrite, Outcome::Rejected, "version_changed"),
        ("f", "wrong", KeepBoth, Outcome::ConflictedCopy, "version_changed"),
        ("new", "wrong", Overwrite, Outcome::Rejected, "version_changed"),
        ("new", "wrong", KeepBoth, Outcome::Applied, ""),
        ("d", "none", Fail, Outcome::Rejected, "name_taken_by_folder"),
        ("d", "none", Overwrite, Outcome::Rejected, "name_taken_by_folder"),
        ("d", "none", KeepBoth, Outcome::ConflictedCopy, "name_taken_by_folder"),
        ("f/x", "none", Overwrite, Outcome::Rejected, "parent_is_a_file"),
        ("f/x", "none", KeepBoth, Outcome::Rejected, "parent_is_a_file"),
        ("a", "none", Fail, Outcome::Rejected, "file_exists"),
        ("a", "none", Overwrite, Outcome::Applied, ""),
    ];
    for (to, condition, on_conflict, outcome, reason) in cases {
        let mut world = World::with(&["a", "f", "d/x"]);
        let if_version = match condition {
            "right" => Some(world.version(to)),
            "wrong" => Some(VersionId::new(Uuid::nil())),
            _ => None,
        };
        let files = world.store.files.len();
        let fact = FileCopied { if_version, on_conflict, ..world.copy_to("a", to) };
        let then = world.when(Fact::FileCopied(fact));
        let found = (then.receipt.outcome, then.receipt.reason.as_deref().unwrap_or_default());
        assert_eq!(found, (outcome, reason), "to {to}, {condition} version, {on_conflict:?}");
        match outcome {
            Outcome::Rejected => then.rejected(reason),
            Outcome::ConflictedCopy => then.copied(reason, &format!("{to} (conflicted copy alice 2026-11-23)")),
            Outcome::Applied | Outcome::Repeated => {
                let made = then.id.version_id();
                assert_eq!(world.version(to), made);
                assert_eq!(world.store.files.len(), files + usize::from(to == "new"), "{to}: a version, or a file");
            }
        }
    }
}

#[test]
fn a_restored_version_is_a_new_one_with_the_same_blob() {
    let mut world = World::with(&["a"]);
    let (file, first) = (world.file("a"), world.version("a"));
    world.uploaded("a");
    let fact = world.restore("a", first);
    let then = world.when(Fact::VersionRestored(fact));
    then.applied();
    assert_eq!(then.receipt.version_id, Some(then.id.version_id()));
    let version = &world.store.versions[&world.version("a")];
    assert_eq!((version.kind, version.source_version), (VersionKind::Restore, Some(first)));
    assert_eq!(version.blob_id, world.store.versions[&first].blob_id);
    assert_eq!(world.store.blobs[&version.blob_id.unwrap()].refs, 2);
    assert_eq!(world.file("a"), file);
}

#[test]
fn a_restore_is_for_the_file_and_version_that_were_meant() {
    let mut world = World::with(&["a", "b"]);
    let stale = world.restore("a", world.version("a"));
    let mut condition = stale.clone();
    condition.if_version = Some(VersionId::new(Uuid::nil()));
    world.when(Fact::VersionRestored(condition.clone())).rejected("version_changed");
    condition.if_version = Some(world.version("a"));
    world.when(Fact::VersionRestored(condition)).applied();
    let mut other = stale.clone();
    other.path = "b".parse().unwrap();
    world.when(Fact::VersionRestored(other)).rejected("moved");
    world.file_deleted("a");
    world.when(Fact::VersionRestored(stale)).rejected("moved");
}
