//! What is in a folder, now and in the past, page by page; which spaces there are; how much is below a folder.

use std::collections::BTreeMap;

use catalog::{EntryTarget, Error, FolderListing, FolderLookup, FolderPage, Reader, Usage, UsageLookup};
use proto::{Fact, Item, SpaceCreated, SpaceId};

use crate::short::catch_up;
use crate::world::{Journal, World, main_space, path};

/// Names whose order as text is not the order of their bytes, or not the order of paths.
const NAMES: [&str; 12] = ["a", "a b", "a-b", "a.txt", "A", "Z", "aa", "~", "é", "e\u{10FFFF}", "b0", "B"];

async fn ask(
    reader: &Reader,
    folder: Option<&str>,
    at: Option<u64>,
    limit: u32,
    page_token: &str,
) -> Result<FolderLookup, Error> {
    let (space, folder) = (main_space(), folder.map(path));
    reader.list_folder(FolderListing { space: &space, folder: folder.as_ref(), at, limit, page_token }).await
}

async fn page(reader: &Reader, folder: Option<&str>, at: Option<u64>, limit: u32, token: &str) -> FolderPage {
    match ask(reader, folder, at, limit, token).await.unwrap() {
        FolderLookup::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

/// All names of a folder by pages, folders with a slash.
async fn names(reader: &Reader, folder: Option<&str>, at: Option<u64>, limit: u32) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = page(reader, folder, at, limit, &token).await;
        assert!(page.entries.len() <= limit as usize);
        all.extend(page.entries.iter().map(sort_name));
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

fn sort_name(entry: &catalog::Entry) -> String {
    match entry.target {
        EntryTarget::File { .. } => entry.name.to_string(),
        EntryTarget::Folder(_) => format!("{}/", entry.name),
    }
}

#[tokio::test]
async fn a_folder_lists_files_and_folders_in_byte_order() {
    let mut journal = Journal::begun(1);
    for name in NAMES {
        journal.file(&format!("in/{name}"), name.len() as u64);
        journal.folder(&format!("in/{name}.d"));
    }
    journal.file("in/a.d/deep", 5);
    let (event, blob) = journal.upload("in/a", 77);
    journal.stored("node-b", &[blob]);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let mut sorted: Vec<String> = NAMES.iter().flat_map(|n| [(*n).to_owned(), format!("{n}.d/")]).collect();
    sorted.sort();
    for limit in [1, 2, 3, 23, 24, 25, 1000] {
        assert_eq!(names(&reader, Some("in"), None, limit).await, sorted, "pages of {limit}");
    }
    assert_eq!(names(&reader, None, None, 10).await, ["in/"]);
    let listed = page(&reader, Some("in"), None, 100, "").await;
    let file = listed.entries.iter().find(|entry| entry.name.as_str() == "a").unwrap();
    let EntryTarget::File { version, blob, replicas_stored, replicas_wanted } = &file.target else {
        panic!("{file:?}")
    };
    assert_eq!((version.version_id, blob.size_bytes), (event.version_id(), 77));
    assert_eq!((*replicas_stored, *replicas_wanted), (2, 3));
    let folder = listed.entries.iter().find(|entry| entry.name.as_str() == "a.d").unwrap();
    let EntryTarget::Folder(row) = &folder.target else { panic!("{folder:?}") };
    assert_eq!((row.entries, row.deleted_seq, row.space_id), (1, None, journal.space()));
}

#[tokio::test]
async fn what_is_no_folder_is_told_apart() {
    let mut journal = Journal::begun(1);
    let n = journal.n();
    let empty = journal.folder("empty");
    let file = journal.file("f", 1);
    journal.folder("gone");
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    assert!(names(&reader, Some("empty"), None, 10).await.is_empty());
    for (asked, at) in [("f/x", None), ("no", None), ("empty/no", None), ("empty", Some(n)), ("f", Some(n))] {
        let answer = ask(&reader, Some(asked), at, 10, "").await.unwrap();
        assert!(matches!(answer, FolderLookup::NoFolder), "{asked}: {answer:?}");
    }
    assert!(matches!(ask(&reader, Some("f"), None, 10, "").await.unwrap(), FolderLookup::NotAFolder));
    assert!(names(&reader, None, Some(0), 10).await.is_empty());
    let there = journal.n();
    journal.delete_folder("empty", empty, true);
    journal.delete("f", file);
    catch_up(&mut writer, &reader, &journal).await;
    for asked in ["empty", "f"] {
        let answer = ask(&reader, Some(asked), None, 10, "").await.unwrap();
        assert!(matches!(answer, FolderLookup::NoFolder), "{asked}: {answer:?}");
    }
    assert!(names(&reader, Some("empty"), Some(there), 10).await.is_empty());
    assert_eq!(names(&reader, None, None, 10).await, ["gone/"]);
    journal.delete_space(journal.space(), "main");
    catch_up(&mut writer, &reader, &journal).await;
    for at in [None, Some(there)] {
        assert!(matches!(ask(&reader, None, at, 10, "").await.unwrap(), FolderLookup::NoSpace));
    }
}

/// A folder whose names come and go by a fixed script, and what was in it after each event.
fn busy() -> (Journal, BTreeMap<u64, Vec<String>>) {
    let mut journal = Journal::begun(9);
    journal.folder("in");
    let mut there: BTreeMap<String, Item> = BTreeMap::new();
    let mut past = BTreeMap::new();
    let mut random: u64 = 42;
    for _ in 0..600 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = |most: usize| usize::try_from(random >> 33).unwrap() % most;
        let name = NAMES[pick(NAMES.len())];
        let at = format!("in/{name}");
        let other = NAMES[(pick(NAMES.len()) + 1 + pick(5)) % NAMES.len()];
        let held = there.remove(name);
        match held {
            None if pick(3) == 0 => drop(there.insert(name.to_owned(), Item::Folder(journal.folder(&at)))),
            None => drop(there.insert(name.to_owned(), Item::File(journal.file(&at, 1)))),
            Some(item) if pick(4) == 0 && other != name && !there.contains_key(other) => {
                journal.rename(&at, &format!("in/{other}"), item);
                there.insert(other.to_owned(), item);
            }
            Some(Item::File(id)) => drop(journal.delete(&at, id)),
            Some(Item::Folder(id)) => drop(journal.delete_folder(&at, id, true)),
        }
        let slash = |item: &Item| if matches!(item, Item::Folder(_)) { "/" } else { "" };
        let mut names: Vec<String> = there.iter().map(|(name, item)| format!("{name}{}", slash(item))).collect();
        names.sort();
        past.insert(journal.n(), names);
    }
    (journal, past)
}

#[tokio::test]
async fn the_past_is_listed_as_it_was() {
    let (journal, past) = busy();
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    for (n, expected) in past.iter().step_by(37).chain(past.last_key_value()) {
        for limit in [1, 3, 100] {
            assert_eq!(&names(&reader, Some("in"), Some(*n), limit).await, expected, "at {n}, pages of {limit}");
        }
    }
    let now = past.last_key_value().unwrap().1;
    assert_eq!(&names(&reader, Some("in"), None, 4).await, now);
    // What the catalog has not come to is the present.
    assert_eq!(&names(&reader, Some("in"), Some(u64::MAX), 4).await, now);
}

#[tokio::test]
async fn files_and_folders_in_the_past_are_where_and_what_they_were() {
    let mut journal = Journal::begun(1);
    let folder = journal.folder("a");
    let file = journal.file("a/f", 1);
    let first = journal.n();
    journal.version("a/f", 2);
    journal.rename("a", "b", Item::Folder(folder));
    let moved = journal.n();
    journal.rename("b/f", "b/g", Item::File(file));
    journal.delete_folder("b", folder, true);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let size = |page: &FolderPage| match &page.entries[0].target {
        EntryTarget::File { blob, .. } => blob.size_bytes,
        EntryTarget::Folder(_) => panic!("{page:?}"),
    };
    let then = page(&reader, Some("a"), Some(first), 10, "").await;
    assert_eq!((then.entries[0].name.as_str(), size(&then)), ("f", 1));
    let then = page(&reader, Some("b"), Some(moved), 10, "").await;
    assert_eq!((then.entries[0].name.as_str(), size(&then), then.entries[0].from_seq), ("f", 2, first));
    assert_eq!(names(&reader, Some("b"), Some(moved + 1), 10).await, ["g"]);
    assert_eq!(names(&reader, None, Some(moved), 10).await, ["b/"]);
    for (asked, at) in [("b", None), ("a", Some(moved)), ("b", Some(first))] {
        assert!(matches!(ask(&reader, Some(asked), at, 10, "").await.unwrap(), FolderLookup::NoFolder), "{asked}");
    }
}

#[tokio::test]
async fn names_that_come_and_go_move_no_other() {
    let mut journal = Journal::begun(1);
    let ids: Vec<_> = NAMES.iter().map(|name| journal.file(name, 1)).collect();
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let mut sorted = NAMES.to_vec();
    sorted.sort_unstable();
    let first = page(&reader, None, None, 5, "").await;
    // The last one seen goes, another one not seen yet too; others come before and after.
    for name in [sorted[4], sorted[8]] {
        journal.delete(name, ids[NAMES.iter().position(|n| *n == name).unwrap()]);
    }
    for name in ["0 before", "A0", "zz after"] {
        journal.file(name, 1);
    }
    catch_up(&mut writer, &reader, &journal).await;
    let second = page(&reader, None, None, 100, &first.next_page_token).await;
    let seen: Vec<String> = first.entries.iter().chain(&second.entries).map(sort_name).collect();
    let old: Vec<&str> = seen.iter().map(String::as_str).filter(|n| NAMES.contains(n)).collect();
    sorted.remove(8);
    assert_eq!(old, sorted);
    assert!(seen.contains(&"zz after".to_owned()) && !seen.contains(&"0 before".to_owned()));
}

#[tokio::test]
async fn tokens_are_good_for_their_folder_and_time_only() {
    let mut journal = Journal::begun(1);
    for name in ["a/x", "a/y", "b/x"] {
        journal.file(name, 1);
    }
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let token = page(&reader, Some("a"), None, 1, "").await.next_page_token;
    for (folder, at, token) in [
        (Some("b"), None, token.as_str()),
        (None, None, token.as_str()),
        (Some("a"), Some(journal.n()), token.as_str()),
        (Some("a"), None, "nonsense"),
    ] {
        let error = ask(&reader, folder, at, 1, token).await.unwrap_err();
        assert!(matches!(error, Error::PageToken { .. }), "{folder:?} {at:?}: {error}");
    }
}

#[tokio::test]
async fn spaces_come_by_name_and_deleted_ones_by_id_only() {
    let mut journal = Journal::begun(1);
    for name in ["zoo", "Bar", "alpha"] {
        journal.publish(Fact::SpaceCreated(SpaceCreated { name: name.parse().unwrap() }));
    }
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let listed =
        async || -> Vec<String> { reader.spaces().await.unwrap().iter().map(|space| space.name.to_string()).collect() };
    assert_eq!(listed().await, ["Bar", "alpha", "main", "zoo"]);
    journal.rename_space(journal.space(), "main", "mine");
    let renamed = journal.n();
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(listed().await, ["Bar", "alpha", "mine", "zoo"]);
    let row = reader.space_row(journal.space()).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.created_seq, row.deleted_seq), ("mine", 4, None));
    journal.delete_space(journal.space(), "main");
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(listed().await, ["Bar", "alpha", "zoo"]);
    let row = reader.space_row(journal.space()).await.unwrap().unwrap();
    assert_eq!(row.deleted_seq, Some(renamed + 1));
    assert_eq!(reader.space_row(SpaceId::NONE).await.unwrap(), None);
}

#[tokio::test]
async fn usage_counts_what_is_below_now() {
    let mut journal = Journal::begun(1);
    let usage = async |reader: &Reader, folder: Option<&str>| {
        reader.usage(&main_space(), folder.map(path).as_ref()).await.unwrap()
    };
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(usage(&reader, None).await, UsageLookup::Usage(Usage::default()));
    let deep = journal.file("a/b/c/f", 10);
    journal.version("a/b/c/f", 100);
    journal.file("a/g", 1000);
    journal.file("h", 10_000);
    catch_up(&mut writer, &reader, &journal).await;
    let counted = |files, folders, bytes| UsageLookup::Usage(Usage { files, folders, bytes });
    assert_eq!(usage(&reader, None).await, counted(3, 3, 11_100));
    assert_eq!(usage(&reader, Some("a")).await, counted(2, 2, 1_100));
    assert_eq!(usage(&reader, Some("a/b/c")).await, counted(1, 0, 100));
    assert_eq!(usage(&reader, Some("h")).await, UsageLookup::NotAFolder);
    assert_eq!(usage(&reader, Some("a/x")).await, UsageLookup::NoFolder);
    assert_eq!(reader.usage(&"other".parse().unwrap(), None).await.unwrap(), UsageLookup::NoSpace);
    journal.rename("a/b/c/f", "f", Item::File(deep));
    journal.delete("f", deep);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(usage(&reader, None).await, counted(2, 3, 11_000));
    assert_eq!(usage(&reader, Some("a")).await, counted(1, 2, 1_000));
}
