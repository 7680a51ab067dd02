//! Files that are deleted, moved, pruned, and as they were.

use catalog::{Listing, Lookup, Reader};
use proto::{Item, Path, VersionId};

use crate::world::{Journal, World, main_space, path};

async fn found(reader: &Reader, at: &str, version: Option<VersionId>, seq: Option<u64>) -> Lookup {
    reader.file(&main_space(), &path(at), version, seq).await.expect("the catalog is there")
}

fn size(lookup: &Lookup) -> u64 {
    match lookup {
        Lookup::File(file) => file.version.blob.size_bytes,
        other => panic!("no file but {other:?}"),
    }
}

#[tokio::test]
async fn a_path_stands_for_what_it_stood_for() {
    let mut journal = Journal::begun(1);
    let (a, _) = journal.upload("docs/a", 1);
    let first = journal.n();
    let (newer, _) = journal.upload("docs/a", 2);
    let second = journal.n();
    journal.rename("docs", "moved", Item::Folder(a.folder_id(0)));
    let moved = journal.n();
    journal.upload("docs/a", 3);
    let anew = journal.n();
    journal.delete("moved/a", a.file_id());
    let deleted = journal.n();
    journal.undelete("moved/b", Item::File(a.file_id()));
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();

    for (at, bytes) in [(Some(first), 1), (Some(second), 2), (Some(anew), 3), (Some(u64::MAX), 3), (None, 3)] {
        assert_eq!(size(&found(&reader, "docs/a", None, at).await), bytes, "{at:?}");
    }
    for at in [0, first - 1, moved] {
        let found = found(&reader, "docs/a", None, Some(at)).await;
        assert!(matches!(found, Lookup::NoFile), "{at}: {found:?}");
    }
    let folder = found(&reader, "docs", None, Some(second)).await;
    assert!(matches!(&folder, Lookup::Folder(row) if row.folder_id == a.folder_id(0)), "{folder:?}");
    assert_eq!(size(&found(&reader, "moved/a", None, Some(moved)).await), 2);
    assert!(matches!(found(&reader, "moved/a", None, Some(deleted)).await, Lookup::NoFile));
    // A version is named by its id, unless it was not there yet.
    let older = found(&reader, "moved/b", Some(a.version_id()), None).await;
    assert_eq!(size(&older), 1);
    let early = found(&reader, "docs/a", Some(newer.version_id()), Some(first)).await;
    assert!(matches!(early, Lookup::NoVersion(id) if id == a.file_id()), "{early:?}");
}

#[tokio::test]
async fn what_is_deleted_is_not_found() {
    let mut journal = Journal::begun(1);
    let (a, _) = journal.upload("docs/a", 1);
    journal.upload("docs/sub/b", 2);
    let tombstone = journal.delete("docs/a", a.file_id()).version_id();
    let before = journal.n();
    journal.delete_folder("docs/sub", proto::EventId::folder_id(decoded(&journal, 6), 1), true);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    for text in ["docs/a", "docs/sub", "docs/sub/b"] {
        let found = found(&reader, text, None, None).await;
        assert!(matches!(found, Lookup::NoFile), "{text}: {found:?}");
    }
    assert_eq!(size(&found(&reader, "docs/sub/b", None, Some(before)).await), 2);
    // A tombstone has no content, whoever asks for it.
    assert!(reader.version(tombstone).await.unwrap().is_none());
    assert!(reader.version(a.version_id()).await.unwrap().is_some());
    let Lookup::Folder(docs) = found(&reader, "docs", None, None).await else { panic!("docs is there") };
    assert_eq!((docs.space_id, docs.entries, docs.deleted_seq), (journal.space(), 0, None));
    let listed = reader.list(&main_space(), None, 10, "").await.unwrap();
    assert!(matches!(&listed, Listing::Page { files, .. } if files.is_empty()), "{listed:?}");
    let listed = reader.list(&main_space(), Some(&"docs/sub".parse::<Path>().unwrap()), 10, "").await.unwrap();
    assert!(matches!(listed, Listing::NoFolder), "{listed:?}");
}

/// The id of the event at a sequence.
fn decoded(journal: &Journal, n: usize) -> proto::EventId {
    journal.events[n - 1].decode().expect("it was published here").id
}

#[tokio::test]
async fn a_pruned_version_is_told_apart_from_none() {
    let mut journal = Journal::begun(1);
    let (a, blob) = journal.upload("a", 1);
    let first = journal.n();
    journal.upload("a", 2);
    journal.prune(a.file_id(), a.version_id(), None);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    for (version, at) in [(Some(a.version_id()), None), (None, Some(first))] {
        let found = found(&reader, "a", version, at).await;
        assert!(matches!(found, Lookup::Pruned(id) if id == a.file_id()), "{found:?}");
    }
    assert_eq!(size(&found(&reader, "a", None, None).await), 2);
    let version = reader.version(a.version_id()).await.unwrap().unwrap();
    assert_eq!(version.row.pruned_seq, Some(journal.n()));
    assert_eq!((version.blob.blob_id, version.blob.refs), (blob, 0));
    assert!(version.blob.unreferenced_at.is_some());
}
