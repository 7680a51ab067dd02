//! What need not be kept: versions by number, by age and in the trash; blobs that nothing names.

use catalog::{Error, Keep, Prunable, Reader};
use proto::{FileId, Item, OnConflict, PruneReason, SpaceId, Trash, VersionId};

use crate::short::{catch_up, time_of};
use crate::world::{Journal, World};

const EVERYTHING: Keep = Keep { versions: None, before: None };

fn newest(versions: u32) -> Keep {
    Keep { versions: Some(versions), before: None }
}

/// Keeps what happened after this sequence.
fn since(n: u64) -> Keep {
    Keep { versions: None, before: Some(time_of(n + 1)) }
}

/// All that is prunable, by pages.
async fn prunable(reader: &Reader, space: SpaceId, keep: Keep, limit: u32) -> Vec<Prunable> {
    let (mut all, mut after): (Vec<Prunable>, _) = (Vec::new(), None);
    loop {
        let (page, _) = reader.prunable(space, keep, after, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        let end = page.len() < limit as usize;
        after = page.last().map(|last| last.version_id);
        all.extend(page);
        if end {
            return all;
        }
    }
}

async fn sizes(reader: &Reader, space: SpaceId, keep: Keep) -> Vec<u64> {
    let mut sizes: Vec<u64> = prunable(reader, space, keep, 2).await.iter().map(|found| found.size_bytes).collect();
    sizes.sort_unstable();
    sizes
}

#[tokio::test]
async fn versions_are_given_up_by_number_and_by_age() {
    let mut journal = Journal::begun(1);
    let space = journal.space();
    journal.file("once", 100);
    let a = journal.file("d/a", 1);
    let n = journal.n();
    for size in 2..=4 {
        journal.version("d/a", size);
    }
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(reader.prunable(space, EVERYTHING, None, 10).await.unwrap(), (Vec::new(), journal.n()));
    for (keep, expected) in [(0, vec![1, 2, 3]), (1, vec![1, 2, 3]), (2, vec![1, 2]), (3, vec![1]), (4, vec![])] {
        assert_eq!(sizes(&reader, space, newest(keep)).await, expected, "keep {keep}");
    }
    // The first stopped being current when the second came.
    for (at, expected) in [(n, vec![]), (n + 1, vec![1]), (n + 2, vec![1, 2]), (n + 100, vec![1, 2, 3])] {
        assert_eq!(sizes(&reader, space, since(at)).await, expected, "at {at}, from {n}");
    }
    let both = |versions, at| Keep { versions: Some(versions), ..since(at) };
    assert_eq!(sizes(&reader, space, both(2, n + 100)).await, [1, 2]);
    assert_eq!(sizes(&reader, space, both(1, n + 1)).await, [1]);
    let found = &prunable(&reader, space, newest(3), 10).await[0];
    assert_eq!((found.file_id, found.because, found.trash), (a, PruneReason::Versions, None));
    assert_eq!((found.path.as_ref().unwrap().as_str(), found.created_at), ("d/a", time_of(n)));
    assert_eq!(prunable(&reader, space, both(3, n + 100), 10).await[0].because, PruneReason::Age);

    // What was pruned does not count; what it was replaced by still does.
    journal.prune(a, found.version_id, None);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(sizes(&reader, space, newest(3)).await, [0; 0]);
    assert_eq!(sizes(&reader, space, newest(2)).await, [2]);
    // A restored version is a new one; a moved file keeps its versions.
    journal.restore("d/a", a, journal_version(&reader, a, 2).await);
    journal.rename("d/a", "b", Item::File(a));
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(sizes(&reader, space, newest(1)).await, [2, 3, 4]);
    assert_eq!(prunable(&reader, space, newest(1), 10).await[0].path.as_ref().unwrap().as_str(), "b");
    assert_eq!(sizes(&reader, SpaceId::NONE, newest(1)).await, [0; 0]);
}

async fn journal_version(reader: &Reader, file: FileId, size: u64) -> VersionId {
    let page = reader.versions(file, 100, "").await.unwrap().unwrap();
    let found = page.versions.iter().find(|version| version.blob.as_ref().is_some_and(|b| b.size_bytes == size));
    found.unwrap().row.version_id
}

#[tokio::test]
async fn trash_is_given_up_with_the_nearest_item_that_was_deleted() {
    let mut journal = Journal::begun(1);
    let space = journal.space();
    let outer = journal.folder("o");
    let inner = journal.folder("o/i");
    let deep = journal.file("o/i/x/deep", 1);
    journal.version("o/i/x/deep", 2);
    journal.file("o/beside", 4);
    let gone = journal.file("o/gone", 8);
    journal.version("o/gone", 16);
    let _ = (journal.file("kept", 32), deep);
    journal.delete("o/gone", gone);
    let first = journal.n();
    journal.delete_folder("o/i", inner, true);
    journal.delete_folder("o", outer, true);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();

    // Old versions go by age, whatever is trash; the newest only as trash.
    assert_eq!(sizes(&reader, space, newest(1)).await, [1, 8]);
    assert_eq!(sizes(&reader, space, since(first - 2)).await, [1, 8]);
    for (at, expected) in [(0, vec![1, 8, 16]), (1, vec![1, 2, 8, 16]), (2, vec![1, 2, 4, 8, 16])] {
        assert_eq!(sizes(&reader, space, since(first + at)).await, expected, "at {at}");
    }
    let all = prunable(&reader, space, since(first + 2), 1).await;
    let mut found: Vec<_> =
        all.iter().map(|p| (p.size_bytes, p.path.as_ref().unwrap().as_str(), p.because, p.trash)).collect();
    found.sort_by_key(|found| found.0);
    let trash = |folder| Some(Trash::Folder(folder));
    let expected = [
        (1, "o/i/x/deep", PruneReason::Trash, trash(inner)),
        (2, "o/i/x/deep", PruneReason::Trash, trash(inner)),
        (4, "o/beside", PruneReason::Trash, trash(outer)),
        (8, "o/gone", PruneReason::Trash, Some(Trash::File(gone))),
        (16, "o/gone", PruneReason::Trash, Some(Trash::File(gone))),
    ];
    assert_eq!(found, expected);

    // The fold takes all of it, and then nothing is left.
    for found in &all {
        journal.prune(found.file_id, found.version_id, found.trash);
    }
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(sizes(&reader, space, since(journal.n())).await, [0; 0]);
    assert_eq!(reader.usage(&crate::world::main_space(), None).await.unwrap(), usage(1, 32));
}

fn usage(files: u64, bytes: u64) -> catalog::UsageLookup {
    catalog::UsageLookup::Usage(catalog::Usage { files, folders: 0, bytes })
}

#[tokio::test]
async fn what_came_back_is_no_trash() {
    let mut journal = Journal::begun(1);
    let space = journal.space();
    let folder = journal.folder("o");
    journal.file("o/x", 1);
    let y = journal.file("y", 2);
    journal.delete("y", y);
    journal.delete_folder("o", folder, true);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(sizes(&reader, space, since(journal.n())).await, [1, 2]);
    // The file of the folder goes on living elsewhere, and the other one has a new version with its old content.
    journal.undelete("back", Item::Folder(folder));
    journal.undelete("back/y", Item::File(y));
    catch_up(&mut writer, &reader, &journal).await;
    let back = prunable(&reader, space, since(journal.n()), 10).await;
    assert_eq!(back.iter().map(|p| (p.size_bytes, p.because)).collect::<Vec<_>>(), [(2, PruneReason::Age)]);
    assert_eq!(back[0].path.as_ref().unwrap().as_str(), "back/y");
}

#[tokio::test]
async fn a_deleted_space_is_trash_as_a_whole() {
    let mut journal = Journal::begun(1);
    let space = journal.space();
    journal.file("a/b/c", 1);
    journal.version("a/b/c", 2);
    let gone = journal.file("gone", 4);
    journal.delete("gone", gone);
    journal.delete_space(space, "main");
    let deleted = journal.n();
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(sizes(&reader, space, newest(1)).await, [1]);
    assert_eq!(sizes(&reader, space, since(deleted - 1)).await, [1, 4]);
    let mut found: Vec<_> = prunable(&reader, space, since(deleted), 1).await;
    found.sort_by_key(|found| found.size_bytes);
    let found: Vec<_> = found.iter().map(|found| (found.size_bytes, found.trash)).collect();
    let whole = Some(Trash::Space(space));
    assert_eq!(found, [(1, whole), (2, whole), (4, Some(Trash::File(gone)))]);
}

#[tokio::test]
async fn pages_of_what_is_prunable_have_no_gaps_and_no_repeats() {
    let mut journal = Journal::begun(1);
    let space = journal.space();
    let odd = journal.folder("odd");
    for i in 0..20 {
        for name in ["a", "a b", "a-b/x", "a/é", "~", "Z"] {
            let top = if i % 2 == 0 { "odd" } else { "live" };
            journal.version(&format!("{top}/{i}/{name}d/{name}"), i);
            if i % 3 == 0 {
                journal.version(&format!("{top}/{i}/{name}d/{name}"), i);
            }
        }
        let file = journal.file(&format!("t{i}"), i);
        journal.delete(&format!("t{i}"), file);
    }
    journal.delete_folder("odd", odd, true);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let keep = since(journal.n());
    let ids = |found: &[Prunable]| found.iter().map(|found| found.version_id).collect::<Vec<_>>();
    let all = ids(&prunable(&reader, space, keep, 1000).await);
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    // Below the folder 10 * 6 files and 4 * 6 of them twice, 3 * 6 replaced ones elsewhere, 20 in the trash.
    assert_eq!((all.len(), distinct.len()), (60 + 24 + 18 + 20, 122));
    for limit in [1, 2, 7, 121, 122, 123] {
        assert_eq!(ids(&prunable(&reader, space, keep, limit).await), all, "pages of {limit}");
    }
    // A page is pruned before the next one is asked for.
    let (page, at) = reader.prunable(space, keep, None, 50).await.unwrap();
    assert_eq!(at, journal.n());
    for found in &page {
        journal.prune(found.file_id, found.version_id, found.trash);
    }
    catch_up(&mut writer, &reader, &journal).await;
    let after = page.last().map(|last| last.version_id);
    let (rest, at) = reader.prunable(space, keep, after, 1000).await.unwrap();
    assert_eq!((ids(&rest), at), (all[50..].to_vec(), journal.n()));
    assert_eq!(ids(&prunable(&reader, space, keep, 1000).await), all[50..]);
    for (space, after) in [(SpaceId::NONE, all[0]), (space, VersionId::new(space.uuid()))] {
        let error = reader.prunable(space, keep, Some(after), 10).await.unwrap_err();
        assert!(matches!(error, Error::PageToken { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_search_goes_on_over_what_holds_nothing() {
    // More of each than one statement looks at.
    const MANY: u64 = 1030;
    let mut journal = Journal::begun(1);
    let space = journal.space();
    let folder = journal.folder("o");
    let all: Vec<FileId> = (0..MANY).map(|i| journal.file(&format!("o/{i}"), i)).collect();
    journal.delete_folder("o", folder, true);
    let trash: Vec<FileId> = (0..MANY).map(|i| journal.file(&format!("{i}"), i)).collect();
    for (i, id) in trash.iter().enumerate() {
        journal.delete(&i.to_string(), *id);
    }
    let touched: Vec<FileId> = (0..MANY).map(|i| journal.file(&format!("{i}"), i)).collect();
    for (i, id) in touched.iter().enumerate() {
        journal.rename(&i.to_string(), &format!("b{i}"), Item::File(*id));
    }
    journal.version("b7", 7);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let found = prunable(&reader, space, since(journal.n()), 500).await;
    let files: std::collections::BTreeSet<FileId> = found.iter().map(|found| found.file_id).collect();
    assert_eq!(found.len() as u64, 2 * MANY + 1);
    assert!(all.iter().chain(&trash).chain([&touched[7]]).all(|id| files.contains(id)));
    // All but the last of the folder goes, and that one is found at once.
    for found in found.iter().filter(|found| found.file_id != all[999]) {
        journal.prune(found.file_id, found.version_id, found.trash);
    }
    catch_up(&mut writer, &reader, &journal).await;
    let (left, _) = reader.prunable(space, since(journal.n()), None, 10).await.unwrap();
    assert_eq!(left.iter().map(|found| found.file_id).collect::<Vec<_>>(), [all[999]]);
}

#[tokio::test]
async fn blobs_that_nothing_names_go_in_two_steps() {
    let mut journal = Journal::begun(1);
    let (event, first) = journal.upload("a", 1);
    let (_, second) = journal.upload_as("a", 2, OnConflict::Fail);
    let second_at = journal.n();
    let (_, third) = journal.upload_as("a", 3, OnConflict::Fail);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let late = time_of(1000);
    assert_eq!(reader.condemnable(late, 10).await.unwrap(), [second, third]);
    assert_eq!(reader.condemnable(late, 1).await.unwrap(), [second]);
    assert_eq!(reader.condemnable(time_of(second_at), 10).await.unwrap(), []);
    assert_eq!(reader.condemnable(time_of(second_at + 1), 10).await.unwrap(), [second]);
    assert_eq!(reader.condemned(10).await.unwrap(), []);
    journal.delete("a", event.file_id());
    journal.prune(event.file_id(), event.version_id(), Some(Trash::File(event.file_id())));
    journal.condemn(&[third]);
    journal.condemn(&[second]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.condemnable(late, 10).await.unwrap(), [first]);
    assert_eq!(reader.condemned(10).await.unwrap(), [third, second]);
    assert_eq!(reader.condemned(1).await.unwrap(), [third]);
    journal.order_erasure(&[third]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.condemned(10).await.unwrap(), [second]);
}
