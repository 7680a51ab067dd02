//! Spaces: create, rename, delete.

use fold::View;
use fold::rows::Outcome;
use proto::{Fact, SpaceDeleted, SpaceId};
use uuid::Uuid;

use crate::journal::main_space;
use crate::store::Store;
use crate::world::{World, create_folder, create_space, delete_space, instant, rename_space, retain, undelete};

#[test]
fn a_name_belongs_to_one_space() {
    let mut world = World::new();
    world.when(create_space("team")).applied();
    world.when(create_space("team")).rejected("space_exists");
    world.when(create_space("main")).rejected("space_exists");
    assert_eq!(world.store.spaces.len(), 2);
    assert_eq!(world.store.folders.len(), 2, "each has a root");
}

#[test]
fn a_rename_frees_the_old_name() {
    let mut world = World::new();
    let then = world.when(rename_space(main_space(), "team"));
    then.applied();
    assert_eq!(then.receipt.space.as_ref().unwrap().as_str(), "team");
    world.when(rename_space(main_space(), "team")).rejected("space_exists");
    world.when(create_space("team")).rejected("space_exists");
    world.when(create_space("main")).applied();
    world.when(rename_space(main_space(), "main")).rejected("space_exists");
    world.when(rename_space(SpaceId::new(Uuid::nil()), "other")).rejected("space_gone");
}

/// A catalog may forbid two spaces of one name, and saves a batch in any order.
#[test]
fn a_batch_ends_where_a_name_is_freed() {
    let mut world = World::new();
    world.when(create_space("team")).applied();
    world.when(rename_space(main_space(), "old")).applied();
    world.when(create_space("main")).applied();
    world.when(delete_space(main_space(), true)).applied();
    let ends = |n: usize| fold::ends_batch(&world.journal.0[n - 1].decode().unwrap());
    assert_eq!([5, 6, 7, 8].map(ends), [false, true, false, true]);
    // Whoever goes on with the same view all the same decides as well.
    let (store, mut view) = (Store::default(), View::default());
    for recorded in &world.journal.0[..3] {
        store.apply(&mut view, recorded);
    }
    for recorded in &world.journal.0[3..] {
        store.apply(&mut view, recorded);
        let rejected = view.take_changes().receipts.iter().any(|row| row.outcome == Outcome::Rejected);
        assert!(!rejected, "{}", recorded.n);
    }
}

#[test]
fn a_space_with_content_is_deleted_by_force_only() {
    let mut world = World::with(&["a"]);
    world.when(delete_space(main_space(), false)).rejected("space_not_empty");
    world.when(delete_space(main_space(), true)).applied();
    let row = &world.store.spaces[&main_space()];
    assert_eq!(row.deleted_seq, Some(7));
    assert_eq!(world.entries(""), 1, "what is in it stays as it is");
    world.when(create_space("main")).applied();
}

/// Nobody can say later how long it keeps its content.
#[test]
fn a_deleted_space_keeps_its_content_for_so_many_days_as_it_says_or_else_as_the_event_says() {
    for (own, of_event, kept) in [(None, None, None), (None, Some(30), Some(30)), (Some(7), Some(30), Some(7))] {
        let mut world = World::with(&["a"]);
        world.when(retain(Some(3), own)).applied();
        let (space_id, space) = (main_space(), proto::SpaceName::main());
        let deleted = SpaceDeleted { space_id, space, force: true, keep_days: of_event };
        world.when(Fact::SpaceDeleted(deleted)).applied();
        let row = &world.store.spaces[&main_space()];
        assert_eq!((row.keep_versions, row.keep_days), (Some(3), kept), "{own:?} and {of_event:?}");
    }
}

#[test]
fn an_empty_space_needs_no_force() {
    let mut world = World::with(&["a"]);
    world.file_deleted("a");
    world.when(delete_space(main_space(), false)).applied();
}

#[test]
fn a_deleted_space_takes_nothing_but_new_bytes() {
    let mut world = World::with(&["d/a", "b"]);
    let trash = world.file_deleted("b");
    let upload = world.upload("d/a");
    let facts = [
        Fact::FileDeleted(world.delete("d/a")),
        Fact::FolderDeleted(world.delete_folder("d")),
        Fact::FileMoved(world.move_to("d", "e")),
        Fact::FileCopied(world.copy_to("d/a", "c")),
        Fact::VersionRestored(world.restore("d/a", world.version("d/a"))),
        Fact::FileUndeleted(undelete(trash, "b")),
        Fact::FileUploaded(instant("c", &upload)),
        create_folder("f"),
        retain(Some(1), None),
        rename_space(main_space(), "other"),
        delete_space(main_space(), true),
    ];
    world.when(delete_space(main_space(), true)).applied();
    for fact in facts {
        world.when(fact).rejected("space_gone");
    }
    let upload = world.upload("d/a");
    let then = world.when(Fact::FileUploaded(upload));
    then.copied("space_gone", "main/d/a");
    assert_eq!(then.receipt.space.as_ref().unwrap().as_str(), fold::RECOVERED_SPACE);
    let blob = then.receipt.blob_id.unwrap();
    let recovered = world.store.blobs[&blob].space_id;
    assert_ne!(recovered, main_space(), "the blob is the recovered space's");
    // The recovered space can itself be deleted: another one is made.
    world.when(delete_space(recovered, true)).applied();
    let mut upload = world.upload("x");
    upload.space_id = recovered;
    upload.space = "recovered".parse().unwrap();
    world.when(Fact::FileUploaded(upload)).copied("space_gone", "recovered/x");
}
