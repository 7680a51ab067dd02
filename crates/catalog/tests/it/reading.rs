//! Files, events, status.

use catalog::{Error, Lookup, Outcome};
use proto::{OnConflict, VersionId};
use uuid::Uuid;

use crate::short::status;
use crate::world::{Journal, World, main_space, node, path};

#[tokio::test]
async fn a_path_is_resolved_to_its_current_version_or_the_one_asked_for() {
    let mut journal = Journal::begun(1);
    let (first, _) = journal.upload("docs/a.txt", 1);
    let (second, _) = journal.upload("docs/a.txt", 2);
    journal.upload("docs/other", 3);
    let (other, _) = journal.upload("docs/other", 4);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let space = main_space();

    let Lookup::File(file) = reader.file(&space, &path("docs/a.txt"), None, None).await.unwrap() else {
        panic!("no file")
    };
    assert_eq!((file.version.row.version_id, file.version.blob.size_bytes), (second.version_id(), 2));
    assert_eq!((file.space_id, file.version.replicas.len()), (journal.space(), 3));
    let asked = reader.file(&space, &path("docs/a.txt"), Some(first.version_id()), None).await.unwrap();
    let Lookup::File(older) = asked else { panic!("{asked:?}") };
    assert_eq!((older.file_id, older.version.blob.size_bytes), (file.file_id, 1));

    // A version of another file is none of this one's.
    for strange in [other.version_id(), VersionId::new(Uuid::nil())] {
        let found = reader.file(&space, &path("docs/a.txt"), Some(strange), None).await.unwrap();
        assert!(matches!(found, Lookup::NoVersion(id) if id == file.file_id), "{found:?}");
    }
    for (text, what) in [("docs", "folder"), ("docs/b", "none"), ("docs/a.txt/b", "none"), ("x/y/z", "none")] {
        let found = reader.file(&space, &path(text), None, None).await.unwrap();
        let right = if what == "folder" { matches!(found, Lookup::Folder(_)) } else { matches!(found, Lookup::NoFile) };
        assert!(right, "{text}: {found:?}");
    }
    let found = reader.file(&"elsewhere".parse().unwrap(), &path("docs"), None, None).await.unwrap();
    assert!(matches!(found, Lookup::NoSpace), "{found:?}");
    assert_eq!(reader.space(&"elsewhere".parse().unwrap()).await.unwrap(), None);
    assert!(reader.version(VersionId::new(Uuid::nil())).await.unwrap().is_none());
    assert!(reader.receipt(proto::EventId::new(Uuid::nil())).await.unwrap().is_none());
}

#[tokio::test]
async fn a_name_taken_by_a_folder_gives_a_conflicted_copy_that_is_found() {
    let mut journal = Journal::begun(1);
    journal.upload("docs/a", 1);
    let (event, _) = journal.upload("docs", 2);
    let (failed, _) = journal.upload_as("docs/a", 3, OnConflict::Fail);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let receipt = reader.receipt(event).await.unwrap().unwrap();
    assert_eq!(receipt.outcome, Outcome::ConflictedCopy);
    assert_eq!(receipt.reason.as_deref(), Some("name_taken_by_folder"));
    let found = reader.file(&main_space(), receipt.path.as_ref().unwrap(), None, None).await.unwrap();
    assert!(matches!(&found, Lookup::File(file) if Some(file.file_id) == receipt.file_id), "{found:?}");
    let receipt = reader.receipt(failed).await.unwrap().unwrap();
    assert_eq!((receipt.outcome, receipt.path), (Outcome::Rejected, None));
}

#[tokio::test]
async fn the_events_of_a_file_are_those_of_its_blobs_too() {
    let mut journal = Journal::begun(1);
    let (_, first) = journal.upload("a", 1);
    let (_, other) = journal.upload("b", 1);
    journal.stored("node-b", &[first, other]);
    journal.stored("node-c", &[other]);
    let (_, second) = journal.upload("a", 2);
    journal.parked("node-b", second, "the node is full");
    journal.repeat();
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let Lookup::File(file) = reader.file(&main_space(), &path("a"), None, None).await.unwrap() else {
        panic!("no file")
    };

    let page = reader.events(file.file_id, 100, "").await.unwrap();
    let seqs: Vec<u64> = page.events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, [5, 7, 9, 10]);
    assert_eq!(page.events[3].kind, "highwater.replication.parked.v1");
    assert_eq!(page.events[0].raw, journal.events[4].payload);
    assert!(page.next_page_token.is_empty());

    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let page = reader.events(file.file_id, 1, &token).await.unwrap();
        paged.extend(page.events.iter().map(|event| event.seq));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, seqs);
    let error = reader.events(file.file_id, 1, "abcd").await.unwrap_err();
    assert!(matches!(error, Error::PageToken { .. }), "{error:?}");
    let none = reader.events(proto::FileId::new(Uuid::nil()), 10, "").await.unwrap();
    assert!(none.events.is_empty());
}

#[tokio::test]
async fn status_counts_what_is_where_and_what_is_left() {
    let mut journal = Journal::begun(1);
    let (_, first) = journal.upload("a", 100);
    let first_seq = journal.n();
    let (_, second) = journal.upload("b", 30);
    journal.stored("node-b", &[first, second]);
    journal.parked("node-c", second, "bad");
    journal.garbage();
    journal.garbage();
    let (_world, writer, reader) = World::with(&journal).await.unwrap();
    let status = status(&reader).await.unwrap();
    assert_eq!((status.generation, status.undecodable_events), (writer.generation(), 2));
    assert_eq!(status.checkpoint.sequence(), journal.head());
    let [a, b, c] = status.nodes.as_slice() else { panic!("{status:?}") };
    assert_eq!((&a.node, a.blobs_stored, a.blobs_pending, a.oldest_pending_at), (&node("node-a"), 2, 0, None));
    assert_eq!((b.blobs_stored, b.blobs_pending, b.blobs_parked), (2, 0, 0));
    assert_eq!((c.blobs_stored, c.blobs_pending, c.bytes_pending, c.blobs_parked, c.blobs_lost), (0, 1, 100, 1, 0));
    let oldest = time::OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(first_seq);
    assert_eq!(c.oldest_pending_at, Some(oldest));
}
