//! Every cell that a save writes, compared with a fold that has no Postgres.

#[expect(dead_code, clippy::unwrap_used, reason = "the fold's tests, where it lives, use more of it")]
#[path = "../../../fold/tests/it/store.rs"]
mod store;

use std::collections::BTreeSet;
use std::fmt;

use fold::rows::{BlobState, NameRow, Outcome, ReplicaState, Target, VersionKind};
use time::OffsetDateTime;

use self::store::Store;
use crate::changes::everything;
use crate::world::{World, fold};

/// A row as psql writes it.
macro_rules! row {
    ($($cell:expr),* $(,)?) => {
        [$($cell.to_string()),*].join("|")
    };
}

/// What may be NULL, which psql writes as nothing.
struct Maybe<T>(Option<T>);

impl<T: ToString> fmt::Display for Maybe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |value| f.write_str(&value.to_string()))
    }
}

fn seconds(at: OffsetDateTime) -> i64 {
    at.unix_timestamp()
}

fn target(target: Target) -> String {
    match target {
        Target::File(id) => format!("file|{id}"),
        Target::Folder(id) => format!("folder|{id}"),
    }
}

/// Each table: how it is asked for, and its rows in memory.
fn tables(store: &Store) -> Vec<(&'static str, Vec<String>)> {
    let mut tables = vec![
        (
            "space_id, name, created_seq, deleted_seq, keep_versions, keep_days FROM spaces",
            store
                .spaces
                .values()
                .map(|r| {
                    let (deleted, versions, days) = (Maybe(r.deleted_seq), Maybe(r.keep_versions), Maybe(r.keep_days));
                    row![r.space_id, r.name, r.created_seq, deleted, versions, days]
                })
                .collect(),
        ),
        (
            "folder_id, space_id, created_seq, deleted_seq, entries FROM folders",
            store
                .folders
                .values()
                .map(|r| row![r.folder_id, r.space_id, r.created_seq, Maybe(r.deleted_seq), r.entries])
                .collect(),
        ),
        (
            "parent_id, name, from_seq, to_seq, target_kind, target_id FROM names",
            store
                .names
                .values()
                .map(|r| row![r.parent, r.name, r.from_seq, Maybe(r.to_seq), target(r.target)])
                .collect(),
        ),
        (
            "file_id, space_id, version_id, created_seq, changed_seq, deleted_seq FROM files",
            store
                .files
                .values()
                .map(|r| {
                    let deleted = Maybe(r.deleted_seq);
                    row![r.file_id, r.space_id, r.version_id, r.created_seq, r.changed_seq, deleted]
                })
                .collect(),
        ),
        ("seq, rules->'copies', rules->'nodes'->'node-a'->'weight' FROM placement", {
            let (seq, placement) = (store.placement.seq, &store.placement.placement);
            let weight = placement.nodes.values().next().map(|rule| rule.weight.get());
            vec![row![seq, Maybe(placement.copies), Maybe(weight)]]
        }),
        ("node, marker_id, joined_seq, marker_seq FROM nodes", {
            store.nodes.values().map(|r| row![r.node, r.marker_id, r.joined_seq, r.marker_seq]).collect()
        }),
    ];
    tables.extend(contents(store));
    tables.extend(journal(store));
    tables
}

fn contents(store: &Store) -> [(&'static str, Vec<String>); 3] {
    let versions = store.versions.values().map(|r| {
        let (blob, source, pruned) = (Maybe(r.blob_id), Maybe(r.source_version), Maybe(r.pruned_seq));
        let (modified, created) = (Maybe(r.modified_at.map(seconds)), seconds(r.created_at));
        let head = row![r.version_id, r.file_id, r.kind, blob, source, r.seq, r.event_id, r.content_type];
        row![head, modified, created, r.actor, pruned]
    });
    let blobs = store.blobs.values().map(|r| {
        let (slices, slice_bytes) = (Maybe(r.slices_sha256), Maybe(r.slice_bytes));
        let head = row![r.blob_id, r.space_id, r.size_bytes, r.sha256, slices, slice_bytes, r.origin_node];
        let unreferenced = Maybe(r.unreferenced_at.map(seconds));
        row![head, r.first_seq, seconds(r.created_at), r.refs, r.state, r.state_seq, unreferenced]
    });
    let replicas = store.replicas.values().map(|r| {
        let reason = Maybe(r.reason.as_ref().map(|reason| reason.replace('\0', "\u{FFFD}")));
        row![r.blob_id, r.node, r.state, r.seq, r.fence_seq, r.attempts, reason]
    });
    [
        (
            "version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, \
             extract(epoch FROM modified_at)::bigint, extract(epoch FROM created_at)::bigint, actor, pruned_seq \
             FROM versions",
            versions.collect(),
        ),
        (
            "blob_id, space_id, size_bytes, encode(sha256, 'hex'), encode(slices_sha256, 'hex'), slice_bytes, \
             origin_node, first_seq, extract(epoch FROM created_at)::bigint, refs, state, state_seq, \
             extract(epoch FROM unreferenced_at)::bigint FROM blobs",
            blobs.collect(),
        ),
        ("blob_id, node, state, seq, fence_seq, attempts, reason FROM replicas", replicas.collect()),
    ]
}

fn journal(store: &Store) -> [(&'static str, Vec<String>); 3] {
    let receipts = store.receipts.values().map(|r| {
        let (reason, fingerprint) = (Maybe(r.reason.as_ref()), Maybe(r.fingerprint));
        let (space, path) = (Maybe(r.space.as_ref()), Maybe(r.path.as_ref()));
        let (file, version, blob) = (Maybe(r.file_id), Maybe(r.version_id), Maybe(r.blob_id));
        row![r.event_id, r.seq, r.outcome, reason, fingerprint, space, path, file, version, blob]
    });
    let events = store.events.iter().map(|r| {
        let (event, space, file) = (Maybe(r.event_id), Maybe(r.space_id), Maybe(r.file_id));
        let (path, from_path, reason) = (Maybe(r.path.as_ref()), Maybe(r.from_path.as_ref()), Maybe(r.reason.as_ref()));
        row![r.seq, event, r.kind, space, path, from_path, file, r.outcome, reason, r.raw.len()]
    });
    let links = store.events.iter().flat_map(|r| r.blob_ids.iter().map(|blob| row![blob, r.seq]));
    [
        (
            "event_id, seq, outcome, reason, encode(fingerprint, 'hex'), space, path, file_id, version_id, blob_id \
             FROM receipts",
            receipts.collect(),
        ),
        (
            "seq, event_id, kind, space_id, path, from_path, file_id, outcome, reason, octet_length(raw) FROM events",
            events.collect(),
        ),
        ("blob_id, seq FROM event_blobs", links.collect()),
    ]
}

#[tokio::test]
async fn the_catalog_is_what_a_fold_without_postgres_says() {
    let journal = everything();
    let store = Store::fold(&journal.events, |_| true);
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    fold(&mut writer, &journal, 10).await.unwrap();
    let schema = writer.generation().schema();
    for (asked, mut rows) in tables(&store) {
        let (columns, table) = asked.rsplit_once(" FROM ").unwrap();
        let found = world.sql(&format!("SELECT {columns} FROM {schema}.{table}")).unwrap();
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        rows.sort_unstable();
        assert_eq!(found, rows, "{table}");
        assert!(!found.is_empty(), "{table}");
    }
}

#[test]
fn the_journal_of_these_tests_has_every_change_of_a_row() {
    let mut journal = everything();
    let old_incarnation = proto::Incarnation::new(journal.incarnation.uuid());
    let restored = proto::JournalRestored { old_incarnation, last_common: 1 };
    journal.publish(proto::Fact::JournalRestored(restored));
    let store = Store::fold(&journal.events, |_| true);
    let kinds: BTreeSet<&str> = store.events.iter().map(|row| row.kind.as_str()).collect();
    for kind in proto::Kind::ALL {
        let word = kind.cloud_event_type();
        let applied = store.events.iter().any(|row| row.kind == word && row.outcome != Outcome::Rejected);
        assert!(applied, "{word} is among {kinds:?} and takes effect");
    }
    for state in [BlobState::Live, BlobState::Condemned, BlobState::Erasing, BlobState::Erased] {
        assert!(store.blobs.values().any(|row| row.state == state), "{state}");
    }
    for state in ["pending", "stored", "parked", "lost", "erasing", "erased"] {
        let state: ReplicaState = state.parse().unwrap();
        assert!(store.replicas.values().any(|row| row.state == state), "{state}");
    }
    for kind in ["upload", "copy", "restore", "undelete", "tombstone"] {
        let kind: VersionKind = kind.parse().unwrap();
        assert!(store.versions.values().any(|row| row.kind == kind), "{kind}");
    }
    assert!(store.versions.values().any(|row| row.pruned_seq.is_some()));
    assert!(store.folders.values().any(|row| row.deleted_seq.is_some()));
    assert!(store.files.values().any(|row| row.deleted_seq.is_some()));
    assert!(store.spaces.values().any(|row| row.deleted_seq.is_some()));
    let reopened = |row: &NameRow| {
        let again = |other: &NameRow| Some(other.from_seq) == row.to_seq && other.name == row.name;
        store.names.values().any(again)
    };
    assert!(store.names.values().any(reopened), "a name is closed and opened by one event");
}
