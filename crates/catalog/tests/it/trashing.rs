//! What was deleted, where it was, and what brings it back.

use catalog::{Error, Reader, TrashPage};
use proto::{FileId, Item, SpaceId, Trash};

use crate::short::{catch_up, time_of};
use crate::world::{Journal, World};

async fn page(reader: &Reader, space: SpaceId, limit: u32, token: &str) -> TrashPage {
    reader.trash(space, limit, token).await.unwrap()
}

/// All of the trash by pages: where things were.
async fn trash(reader: &Reader, space: SpaceId, limit: u32) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(reader, space, limit, &token).await;
        assert!(page.trashed.len() <= limit as usize);
        all.extend(page.trashed.iter().map(|trashed| trashed.path.to_string()));
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn the_newest_deletion_comes_first_with_where_it_was() {
    let mut journal = Journal::begun(1);
    let folder = journal.folder("docs");
    let inner = journal.folder("docs/in");
    let f = journal.file("docs/in/f", 5);
    let newest = journal.version("docs/in/f", 6);
    journal.file("docs/in/stays", 7);
    let g = journal.file("g", 8);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let space = journal.space();
    assert!(trash(&reader, space, 10).await.is_empty());
    journal.delete("docs/in/f", f);
    let f_deleted = journal.n();
    // What is above moves: where it was is where it was.
    journal.rename("docs", "papers", Item::Folder(folder));
    journal.rename("g", "papers/g", Item::File(g));
    journal.delete("papers/g", g);
    journal.delete_folder("papers/in", inner, true);
    journal.delete_folder("papers", folder, true);
    catch_up(&mut writer, &reader, &journal).await;
    for limit in [1, 2, 3, 4, 100] {
        let all = trash(&reader, space, limit).await;
        assert_eq!(all, ["papers", "papers/in", "papers/g", "docs/in/f"], "pages of {limit}");
    }
    let f_in_trash = reader.trashed(space, Item::File(f)).await.unwrap().unwrap();
    assert_eq!((f_in_trash.deleted_seq, f_in_trash.deleted_at), (f_deleted, time_of(f_deleted)));
    assert_eq!((f_in_trash.deleted_by.as_str(), f_in_trash.path.as_str()), ("anonymous", "docs/in/f"));
    let content = f_in_trash.content.unwrap();
    assert_eq!((content.row.version_id, content.blob.unwrap().size_bytes), (newest, 6));
    let folder_in_trash = reader.trashed(space, Item::Folder(inner)).await.unwrap().unwrap();
    assert_eq!((folder_in_trash.item, folder_in_trash.content), (Item::Folder(inner), None));
    for (space, item) in [(SpaceId::NONE, Item::File(f)), (space, Item::File(FileId::new(inner.uuid())))] {
        assert_eq!(reader.trashed(space, item).await.unwrap(), None);
    }
    journal.undelete("back", Item::File(f));
    journal.undelete("papers", Item::Folder(folder));
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(trash(&reader, space, 2).await, ["papers/in", "papers/g"]);
    assert_eq!(reader.trashed(space, Item::File(f)).await.unwrap(), None);
    assert_eq!(reader.trashed(space, Item::Folder(folder)).await.unwrap(), None);
}

#[tokio::test]
async fn a_file_that_was_replaced_is_in_the_trash_where_it_was() {
    let mut journal = Journal::begun(1);
    let old = journal.file("a/x", 1);
    let new = journal.file("y", 2);
    journal.rename("y", "a/x", Item::File(new));
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let page = page(&reader, journal.space(), 10, "").await;
    let found: Vec<_> = page.trashed.iter().map(|t| (t.item, t.path.as_str(), t.deleted_seq)).collect();
    assert_eq!(found, [(Item::File(old), "a/x", journal.n())]);
    // The trash of a deleted space stays.
    journal.delete_space(journal.space(), "main");
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(trash(&reader, journal.space(), 10).await, ["a/x"]);
}

#[tokio::test]
async fn what_was_pruned_cannot_come_back() {
    let mut journal = Journal::begun(1);
    let files: Vec<_> = (0..30).map(|i| (format!("f{i:02}"), journal.upload(&format!("f{i:02}"), i).0)).collect();
    let second = journal.version("f00", 99);
    for (at, event) in &files {
        journal.delete(at, event.file_id());
    }
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    // All but the first two, and the newer version of the first.
    let (zero, rest) = (files[0].1, &files[2..]);
    journal.prune(zero.file_id(), second, Some(Trash::File(zero.file_id())));
    for (_, event) in rest {
        journal.prune(event.file_id(), event.version_id(), Some(Trash::File(event.file_id())));
    }
    catch_up(&mut writer, &reader, &journal).await;
    for limit in [1, 2, 3, 100] {
        assert_eq!(trash(&reader, journal.space(), limit).await, ["f01", "f00"], "pages of {limit}");
    }
    let zero = reader.trashed(journal.space(), Item::File(zero.file_id())).await.unwrap().unwrap();
    assert_eq!(zero.content.unwrap().row.version_id, files[0].1.version_id());
    let pruned = reader.trashed(journal.space(), Item::File(rest[0].1.file_id())).await.unwrap().unwrap();
    assert_eq!(pruned.content, None);
}

#[tokio::test]
async fn pages_of_trash_have_no_gaps_while_things_come_and_go() {
    let mut journal = Journal::begun(1);
    let ids: Vec<FileId> = (0..10).map(|i| journal.file(&format!("f{i}"), i)).collect();
    let delete = |journal: &mut Journal, i: usize| journal.delete(&format!("f{i}"), ids[i]);
    for i in 0..9 {
        delete(&mut journal, i);
    }
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let space = journal.space();
    let first = page(&reader, space, 4, "").await;
    delete(&mut journal, 9);
    journal.undelete("f5", Item::File(ids[5]));
    journal.undelete("f3", Item::File(ids[3]));
    catch_up(&mut writer, &reader, &journal).await;
    let second = page(&reader, space, 10, &first.next_page_token).await;
    let seen: Vec<&str> = first.trashed.iter().chain(&second.trashed).map(|t| t.path.as_str()).collect();
    assert_eq!(seen, ["f8", "f7", "f6", "f5", "f4", "f2", "f1", "f0"]);
    let error = reader.trash(SpaceId::NONE, 4, &first.next_page_token).await.unwrap_err();
    assert!(matches!(error, Error::PageToken { .. }), "{error}");
}
