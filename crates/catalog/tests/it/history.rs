//! The versions of a file, content by its digest, what happened in a space, and when.

use catalog::{Error, Outcome, Reader, VersionKind};
use proto::{EventId, Fact, FileId, Item, MarkerId, NodeWiped, OnConflict, Sha256Digest, SpaceId, Trash, VersionId};
use uuid::Uuid;

use crate::short::{catch_up, time_of};
use crate::world::{Journal, World, marker, node};

/// All versions of a file by pages: kind, size and whether it was pruned.
async fn versions(reader: &Reader, file: FileId, limit: u32) -> Vec<(VersionKind, Option<u64>, bool)> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let page = reader.versions(file, limit, &token).await.unwrap().unwrap();
        assert!(page.versions.len() <= limit as usize);
        all.extend(page.versions.iter().map(|version| {
            assert_eq!(version.row.file_id, file);
            assert_eq!(version.row.blob_id, version.blob.as_ref().map(|blob| blob.blob_id));
            (version.row.kind, version.blob.as_ref().map(|blob| blob.size_bytes), version.row.pruned_seq.is_some())
        }));
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

#[tokio::test]
async fn versions_come_newest_first_with_tombstones_and_pruned_ones() {
    let mut journal = Journal::begun(1);
    let first = journal.version("a", 1);
    let (second, _) = journal.upload("a", 2);
    let file = journal.upload("b", 9).0.file_id();
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let of = reader.versions(FileId::new(Uuid::nil()), 10, "").await.unwrap();
    assert!(of.is_none());
    let reader_file = reader.versions(file, 10, "").await.unwrap().unwrap();
    assert_eq!(reader_file.versions.len(), 1);
    let a = {
        let changes = reader.changes(journal.space(), 0, 100).await.unwrap().0;
        changes.iter().find(|change| change.version_id == Some(second.version_id())).unwrap().file_id.unwrap()
    };
    journal.restore("a", a, first);
    journal.rename("a", "c", Item::File(a));
    journal.delete("c", a);
    journal.undelete("d", Item::File(a));
    journal.prune(a, second.version_id(), None);
    catch_up(&mut writer, &reader, &journal).await;
    let expected = [
        (VersionKind::Undelete, Some(1), false),
        (VersionKind::Tombstone, None, false),
        (VersionKind::Restore, Some(1), false),
        (VersionKind::Upload, Some(2), true),
        (VersionKind::Upload, Some(1), false),
    ];
    for limit in [1, 2, 4, 5, 6] {
        assert_eq!(versions(&reader, a, limit).await, expected, "pages of {limit}");
    }
    journal.delete("d", a);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(versions(&reader, a, 10).await.len(), 6);
    let token = reader.versions(a, 1, "").await.unwrap().unwrap().next_page_token;
    let error = reader.versions(file, 1, &token).await.unwrap_err();
    assert!(matches!(error, Error::PageToken { .. }), "{error}");
}

#[tokio::test]
async fn versions_that_come_between_pages_move_no_other() {
    let mut journal = Journal::begun(1);
    let ids: Vec<VersionId> = (1..=5).map(|size| journal.version("a", size)).collect();
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let file = reader.changes(journal.space(), 0, 100).await.unwrap().0.last().unwrap().file_id.unwrap();
    let first = reader.versions(file, 2, "").await.unwrap().unwrap();
    journal.version("a", 6);
    catch_up(&mut writer, &reader, &journal).await;
    let second = reader.versions(file, 10, &first.next_page_token).await.unwrap().unwrap();
    let seen = first.versions.iter().chain(&second.versions).map(|version| version.row.version_id);
    assert!(seen.eq(ids.into_iter().rev()));
}

#[tokio::test]
async fn content_is_found_where_a_version_names_it_and_a_node_holds_it() {
    let mut journal = Journal::begun(1);
    let (event, blob) = journal.upload("a", 7);
    let (_, unheld) = journal.upload_as("a", 8, OnConflict::Fail);
    let digest = |blob: proto::BlobId| Sha256Digest::of(blob.to_string().as_bytes());
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let found = async |reader: &Reader, space: SpaceId, of, size| {
        reader.content(space, digest(of), size).await.unwrap().map(|row| (row.blob_id, row.refs))
    };
    let space = journal.space();
    assert_eq!(found(&reader, space, blob, 7).await, Some((blob, 1)));
    for (space, of, size) in [(SpaceId::NONE, blob, 7), (space, blob, 8), (space, unheld, 8)] {
        assert_eq!(found(&reader, space, of, size).await, None);
    }
    // What no node holds cannot be named again.
    let (old_marker_id, marker_id) = (marker("node-a"), MarkerId::new(Uuid::from_u128(9)));
    journal.publish(Fact::NodeWiped(NodeWiped { node: node("node-a"), old_marker_id, marker_id }));
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(found(&reader, space, blob, 7).await, None);
    journal.stored("node-b", &[blob]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(found(&reader, space, blob, 7).await, Some((blob, 1)));
    // In the trash it is still held; pruned it is not.
    let file = event.file_id();
    journal.delete("a", file);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(found(&reader, space, blob, 7).await, Some((blob, 1)));
    journal.prune(file, event.version_id(), Some(Trash::File(file)));
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(found(&reader, space, blob, 7).await, None);
}

#[tokio::test]
async fn changes_are_those_of_the_space_in_order() {
    let mut journal = Journal::begun(1);
    let created = journal.n();
    let folder = journal.create_folder("f").folder_id(0);
    let (uploaded, blob) = journal.upload("f/a", 1);
    journal.stored("node-b", &[blob]);
    journal.rename("f/a", "f/b", Item::File(uploaded.file_id()));
    let moved = journal.n();
    journal.upload_as("f/b", 2, OnConflict::Fail);
    journal.repeat();
    journal.garbage();
    journal.create_space("other");
    journal.delete_folder("f", folder, true);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let (all, up_to) = reader.changes(journal.space(), 0, 100).await.unwrap();
    assert_eq!(up_to, journal.n());
    let kinds: Vec<(u64, &str, Outcome)> = all.iter().map(|c| (c.seq, c.kind.as_str(), c.outcome)).collect();
    assert_eq!(
        kinds,
        [
            (created, "highwater.space.created.v1", Outcome::Applied),
            (created + 1, "highwater.folder.created.v1", Outcome::Applied),
            (created + 2, "highwater.file.uploaded.v1", Outcome::Applied),
            (moved, "highwater.file.moved.v1", Outcome::Applied),
            (moved + 1, "highwater.file.uploaded.v1", Outcome::Rejected),
            (journal.n(), "highwater.folder.deleted.v1", Outcome::Applied),
        ]
    );
    let upload = &all[2];
    assert_eq!((upload.event_id, upload.version_id), (Some(uploaded), Some(uploaded.version_id())));
    assert_eq!(upload.file_id, Some(uploaded.file_id()));
    assert_eq!(proto::Event::decode(&upload.raw).unwrap().id, uploaded);
    let paths =
        |i: usize| (all[i].path.as_ref().map(proto::Path::as_str), all[i].from_path.as_ref().map(proto::Path::as_str));
    assert_eq!(paths(3), (Some("f/b"), Some("f/a")));
    assert_eq!((paths(4), all[4].reason.as_deref()), ((Some("f/b"), None), Some("file_exists")));
    assert_eq!(paths(5), (Some("f"), None));

    // By pages, nothing is missed or repeated.
    let (mut after, mut seen) = (0, Vec::<Option<EventId>>::new());
    loop {
        let (page, _) = reader.changes(journal.space(), after, 2).await.unwrap();
        seen.extend(page.iter().map(|change| change.event_id));
        let Some(last) = page.last().filter(|_| page.len() == 2) else { break };
        after = last.seq;
    }
    assert!(seen.into_iter().eq(all.iter().map(|change| change.event_id)));

    // Nothing new is known up to the checkpoint, also where nothing ever happened.
    let checkpoint = journal.n();
    assert_eq!(reader.changes(journal.space(), checkpoint, 10).await.unwrap(), (Vec::new(), checkpoint));
    assert_eq!(reader.changes(SpaceId::NONE, 0, 10).await.unwrap(), (Vec::new(), checkpoint));
    journal.stored("node-c", &[blob]);
    catch_up(&mut writer, &reader, &journal).await;
    assert_eq!(reader.changes(journal.space(), checkpoint, 10).await.unwrap(), (Vec::new(), checkpoint + 1));
}

#[tokio::test]
async fn a_time_is_the_sequence_of_the_last_event_up_to_it() {
    let mut journal = Journal::begun(1);
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    for size in 1..30 {
        journal.upload("a", size);
    }
    journal.garbage();
    journal.garbage();
    let garbage = journal.n();
    journal.upload("b", 1);
    catch_up(&mut writer, &reader, &journal).await;
    let last = journal.n();
    assert_eq!(reader.sequence_at(time_of(0)).await.unwrap(), 0);
    for n in 1..=last {
        // What has no time goes with what is before it.
        let expected = if n + 2 >= garbage && n < last { garbage } else { n };
        assert_eq!(reader.sequence_at(time_of(n)).await.unwrap(), expected, "the time of {n}");
        let between = time_of(n) + std::time::Duration::from_millis(999);
        assert_eq!(reader.sequence_at(between).await.unwrap(), expected, "just after {n}");
    }
    assert_eq!(reader.sequence_at(time_of(1_000_000)).await.unwrap(), last);
}
