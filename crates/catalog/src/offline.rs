//! The rows of a catalog that was folded in memory, as Postgres would write them: the digest of a slice of the journal that
//! was folded without a server is that of a generation folded from the same events.

use std::collections::BTreeSet;

use fold::Store;
use fold::rows::{EventRow, Outcome};
use proto::Kind;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::records::{fingerprint_bytes, storable, target_columns};
use crate::snapshot::RowHash;
use crate::{Checkpoint, Digest};

/// The rows of one table, each as one JSON object, in the order of their keys.
pub type Rows<'a> = Box<dyn Iterator<Item = String> + 'a>;

/// All tables by name, as [`crate::Snapshot::digest`] reads them.
pub fn tables<'a>(store: &'a Store, at: &Checkpoint) -> Vec<(&'static str, Rows<'a>)> {
    vec![
        ("blobs", blobs(store)),
        ("checkpoint", checkpoint(store, at)),
        ("event_blobs", event_blobs(store)),
        ("events", events(store)),
        ("files", files(store)),
        ("folders", folders(store)),
        ("names", names(store)),
        ("nodes", nodes(store)),
        ("placement", placement(store)),
        ("receipts", receipts(store)),
        ("replicas", replicas(store)),
        ("spaces", spaces(store)),
        ("versions", versions(store)),
    ]
}

/// The digest of all rows: that of [`crate::Snapshot::digest`] for a generation with the same ones.
pub fn digest(store: &Store, at: &Checkpoint) -> Digest {
    let mut hash = RowHash::default();
    for (table, rows) in tables(store, at) {
        hash.table(table);
        rows.for_each(|row| hash.row(&row));
    }
    hash.finish(*at)
}

/// The last event that made, renamed or deleted a space.
fn spaces_seq(store: &Store) -> u64 {
    let renamed =
        |row: &&EventRow| row.outcome == Outcome::Applied && row.kind == Kind::SpaceRenamed.cloud_event_type();
    let made_or_deleted = store.spaces.values().map(|row| row.deleted_seq.unwrap_or(row.created_seq));
    made_or_deleted.chain(store.events.iter().filter(renamed).map(|row| row.seq)).max().unwrap_or(0)
}

fn checkpoint<'a>(store: &Store, at: &Checkpoint) -> Rows<'a> {
    let row = Object::default()
        .yes("singleton")
        .id("incarnation", at.incarnation.uuid())
        .number("n", at.n)
        .id("event_id", at.event_id.map(proto::EventId::uuid))
        .bytes("chain", Some(at.chain.as_bytes()))
        .number("spaces_seq", spaces_seq(store))
        .end();
    Box::new(std::iter::once(row))
}

fn nodes(store: &Store) -> Rows<'_> {
    Box::new(store.nodes.values().map(|row| {
        Object::default()
            .text("node", Some(row.node.as_str()))
            .id("marker_id", row.marker_id.uuid())
            .number("joined_seq", row.joined_seq)
            .number("marker_seq", row.marker_seq)
            .end()
    }))
}

fn placement(store: &Store) -> Rows<'_> {
    let said = Some(&store.placement).filter(|row| row.seq > 0);
    Box::new(said.into_iter().map(|row| {
        let rules = serde_json::to_value(&row.placement).expect("a placement is JSON");
        Object::default().yes("singleton").number("seq", row.seq).jsonb("rules", &rules).end()
    }))
}

fn spaces(store: &Store) -> Rows<'_> {
    Box::new(store.spaces.values().map(|row| {
        Object::default()
            .id("space_id", row.space_id.uuid())
            .text("name", Some(row.name.as_str()))
            .number("created_seq", row.created_seq)
            .number("deleted_seq", row.deleted_seq)
            .number("keep_versions", row.keep_versions.map(u64::from))
            .number("keep_days", row.keep_days.map(u64::from))
            .end()
    }))
}

fn folders(store: &Store) -> Rows<'_> {
    Box::new(store.folders.values().map(|row| {
        Object::default()
            .id("folder_id", row.folder_id.uuid())
            .id("space_id", row.space_id.uuid())
            .number("created_seq", row.created_seq)
            .number("deleted_seq", row.deleted_seq)
            .number("entries", row.entries)
            .end()
    }))
}

fn names(store: &Store) -> Rows<'_> {
    Box::new(store.names.values().map(|row| {
        let (kind, target) = target_columns(row.target);
        Object::default()
            .id("parent_id", row.parent.uuid())
            .text("name", Some(row.name.as_str()))
            .number("from_seq", row.from_seq)
            .number("to_seq", row.to_seq)
            .text("target_kind", Some(kind))
            .id("target_id", target)
            .end()
    }))
}

fn files(store: &Store) -> Rows<'_> {
    Box::new(store.files.values().map(|row| {
        Object::default()
            .id("file_id", row.file_id.uuid())
            .id("space_id", row.space_id.uuid())
            .id("version_id", row.version_id.uuid())
            .number("created_seq", row.created_seq)
            .number("changed_seq", row.changed_seq)
            .number("deleted_seq", row.deleted_seq)
            .end()
    }))
}

fn versions(store: &Store) -> Rows<'_> {
    Box::new(store.versions.values().map(|row| {
        Object::default()
            .id("version_id", row.version_id.uuid())
            .id("file_id", row.file_id.uuid())
            .text("kind", Some(row.kind.as_str()))
            .id("blob_id", row.blob_id.map(proto::BlobId::uuid))
            .id("source_version", row.source_version.map(proto::VersionId::uuid))
            .number("seq", row.seq)
            .id("event_id", row.event_id.uuid())
            .text("content_type", Some(&storable(&row.content_type)))
            .time("modified_at", row.modified_at)
            .time("created_at", Some(row.created_at))
            .text("actor", Some(row.actor.as_str()))
            .number("pruned_seq", row.pruned_seq)
            .end()
    }))
}

fn blobs(store: &Store) -> Rows<'_> {
    Box::new(store.blobs.values().map(|row| {
        Object::default()
            .id("blob_id", row.blob_id.uuid())
            .id("space_id", row.space_id.uuid())
            .number("size_bytes", row.size_bytes)
            .bytes("sha256", Some(row.sha256.as_bytes()))
            .bytes("slices_sha256", row.slices_sha256.as_ref().map(|digest| digest.as_bytes().as_slice()))
            .number("slice_bytes", row.slice_bytes)
            .text("origin_node", Some(row.origin_node.as_str()))
            .number("first_seq", row.first_seq)
            .time("created_at", Some(row.created_at))
            .number("refs", row.refs)
            .text("state", Some(row.state.as_str()))
            .number("state_seq", row.state_seq)
            .time("unreferenced_at", row.unreferenced_at)
            .end()
    }))
}

fn replicas(store: &Store) -> Rows<'_> {
    Box::new(store.replicas.values().map(|row| {
        Object::default()
            .id("blob_id", row.blob_id.uuid())
            .text("node", Some(row.node.as_str()))
            .text("state", Some(row.state.as_str()))
            .number("seq", row.seq)
            .number("fence_seq", row.fence_seq)
            .number("attempts", u64::from(row.attempts))
            .text("reason", row.reason.as_deref().map(storable).as_deref())
            .end()
    }))
}

fn receipts(store: &Store) -> Rows<'_> {
    Box::new(store.receipts.values().map(|row| {
        Object::default()
            .id("event_id", row.event_id.uuid())
            .number("seq", row.seq)
            .text("outcome", Some(row.outcome.as_str()))
            .text("reason", row.reason.as_deref().map(storable).as_deref())
            .bytes("fingerprint", row.fingerprint.map(fingerprint_bytes).as_deref())
            .text("space", row.space.as_ref().map(proto::SpaceName::as_str))
            .text("path", row.path.as_ref().map(proto::Path::as_str))
            .id("file_id", row.file_id.map(proto::FileId::uuid))
            .id("version_id", row.version_id.map(proto::VersionId::uuid))
            .id("blob_id", row.blob_id.map(proto::BlobId::uuid))
            .end()
    }))
}

fn events(store: &Store) -> Rows<'_> {
    Box::new(store.events.iter().map(|row| {
        Object::default()
            .number("seq", row.seq)
            .id("event_id", row.event_id.map(proto::EventId::uuid))
            .text("kind", Some(&row.kind))
            .id("space_id", row.space_id.map(proto::SpaceId::uuid))
            .text("path", row.path.as_ref().map(proto::Path::as_str))
            .text("from_path", row.from_path.as_ref().map(proto::Path::as_str))
            .id("file_id", row.file_id.map(proto::FileId::uuid))
            .text("outcome", Some(row.outcome.as_str()))
            .text("reason", row.reason.as_deref().map(storable).as_deref())
            .bytes("raw", Some(&row.raw))
            .end()
    }))
}

fn event_blobs(store: &Store) -> Rows<'_> {
    let links: BTreeSet<(Uuid, u64)> =
        store.events.iter().flat_map(|row| row.blob_ids.iter().map(|blob| (blob.uuid(), row.seq))).collect();
    Box::new(links.into_iter().map(|(blob, seq)| Object::default().id("blob_id", blob).number("seq", seq).end()))
}

/// A row as Postgres's `row_to_json` writes it.
#[derive(Default)]
struct Object(String);

impl Object {
    fn column(mut self, name: &str, value: Option<&str>) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value.unwrap_or("null"));
        self
    }

    fn yes(self, name: &str) -> Self {
        self.column(name, Some("true"))
    }

    fn text(self, name: &str, text: Option<&str>) -> Self {
        self.column(name, text.map(quoted).as_deref())
    }

    fn number(self, name: &str, number: impl Into<Option<u64>>) -> Self {
        self.column(name, number.into().map(|number| number.to_string()).as_deref())
    }

    fn id(self, name: &str, id: impl Into<Option<Uuid>>) -> Self {
        self.column(name, id.into().map(|id| format!("\"{}\"", id.hyphenated())).as_deref())
    }

    fn bytes(self, name: &str, bytes: Option<&[u8]>) -> Self {
        self.column(name, bytes.map(|bytes| format!("\"\\\\x{}\"", hex::encode(bytes))).as_deref())
    }

    fn time(self, name: &str, time: Option<OffsetDateTime>) -> Self {
        self.column(name, time.map(|time| format!("\"{}\"", timestamp(time))).as_deref())
    }

    fn jsonb(self, name: &str, value: &Value) -> Self {
        self.column(name, Some(&jsonb(value)))
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// To the microsecond, which is what Postgres keeps, without zeros at the end.
fn timestamp(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    let micros = format!("{:06}", time.microsecond());
    let fraction = micros.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{date}T{hour:02}:{minute:02}:{second:02}{dot}{fraction}+00:00")
}

/// As Postgres writes its binary JSON: shorter keys first, and a space after each comma and colon.
fn jsonb(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| (name.len(), name.as_str()));
            let members = members.iter().map(|(name, value)| format!("{}: {}", quoted(name), jsonb(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(jsonb).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn values_are_written_as_postgres_writes_them() {
        let row = Object::default()
            .yes("a")
            .text("b", Some("quo\"te\u{1}"))
            .text("c", None)
            .number("d", 7)
            .bytes("e", Some(b"\x00\xff".as_slice()))
            .time("f", Some(datetime!(2026-11-23 23:30:05.120 UTC)))
            .time("g", Some(datetime!(2026-11-24 01:30:00 +2)))
            .jsonb("h", &serde_json::json!({"nodes": [1, "x"], "n": null}))
            .end();
        let expected = r#"{"a":true,"b":"quo\"te\u0001","c":null,"d":7,"e":"\\x00ff","f":"2026-11-23T23:30:05.12+00:00","g":"2026-11-23T23:30:00+00:00","h":{"n": null, "nodes": [1, "x"]}}"#;
        assert_eq!(row, expected);
    }
}
