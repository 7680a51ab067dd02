//! Folders: create, delete.

use fold::rows::Target;
use proto::{Fact, FolderId};
use uuid::Uuid;

use crate::world::{World, create_folder};

#[test]
fn a_folder_is_made_with_its_parents() {
    let mut world = World::with(&["a/x"]);
    let then = world.when(create_folder("a/b/c"));
    then.applied();
    assert_eq!(then.receipt.path.as_ref().unwrap().as_str(), "a/b/c");
    assert_eq!((then.receipt.file_id, then.receipt.version_id), (None, None));
    let id = then.id;
    assert_eq!(world.folder("a/b/c"), id.folder_id(2), "who published the event knows the folder's id");
    assert_eq!((world.entries(""), world.entries("a"), world.entries("a/b"), world.entries("a/b/c")), (1, 2, 1, 0));
}

#[test]
fn a_folder_needs_a_free_name() {
    let mut world = World::with(&["d/x", "f"]);
    world.when(create_folder("d")).rejected("folder_exists");
    world.when(create_folder("f")).rejected("file_exists");
    world.when(create_folder("f/g")).rejected("parent_is_a_file");
    world.when(create_folder("f/g/h")).rejected("parent_is_a_file");
    world.when(create_folder("d/y")).applied();
    world.when(create_folder("d/y")).rejected("folder_exists");
}

#[test]
fn a_folder_goes_with_all_that_is_in_it_as_one_row() {
    let mut world = World::with(&["d/x", "d/e/y"]);
    let folder = world.folder("d");
    let mut delete = world.delete_folder("d");
    delete.recursive = false;
    world.when(Fact::FolderDeleted(delete.clone())).rejected("folder_not_empty");
    delete.recursive = true;
    world.when(Fact::FolderDeleted(delete.clone())).applied();
    assert_eq!((world.tree(), world.entries("")), (vec![], 0));
    assert_eq!(world.store.tree(folder, ""), ["e/", "e/y", "x"], "its own names stay current");
    assert_eq!(world.store.folders[&folder].deleted_seq, Some(world.last_seq()));
    assert!(world.store.files.values().all(|row| row.deleted_seq.is_none()));
    world.when(Fact::FolderDeleted(delete)).rejected("moved");
}

#[test]
fn an_empty_folder_needs_no_force() {
    let mut world = World::new();
    world.when(create_folder("d")).applied();
    let mut delete = world.delete_folder("d");
    delete.recursive = false;
    world.when(Fact::FolderDeleted(delete)).applied();
    world.when(create_folder("d")).applied();
}

#[test]
fn a_folder_that_is_another_one_by_now_stays() {
    let mut world = World::with(&["d/x", "f"]);
    let stale = world.delete_folder("d");
    let move_away = world.move_to("d", "e");
    world.when(Fact::FileMoved(move_away)).applied();
    world.when(Fact::FolderDeleted(stale.clone())).rejected("moved");
    world.uploaded("d/y");
    world.when(Fact::FolderDeleted(stale.clone())).rejected("moved");
    for path in ["f", "f/x", "none", "d/none"] {
        let mut wrong = stale.clone();
        wrong.path = path.parse().unwrap();
        world.when(Fact::FolderDeleted(wrong)).rejected("moved");
    }
    let mut unknown = stale;
    unknown.folder_id = FolderId::new(Uuid::nil());
    world.when(Fact::FolderDeleted(unknown)).rejected("moved");
}

#[test]
fn names_are_intervals_that_follow_each_other() {
    let mut world = World::new();
    for _ in 0..3 {
        world.when(create_folder("d")).applied();
        world.folder_deleted("d");
    }
    let intervals: Vec<(u64, Option<u64>)> = world.store.names.values().map(|row| (row.from_seq, row.to_seq)).collect();
    assert_eq!(intervals, [(5, Some(6)), (7, Some(8)), (9, Some(10))]);
    assert!(world.store.names.values().all(|row| matches!(row.target, Target::Folder(_))));
}
