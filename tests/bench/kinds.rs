//! How fast the projector folds each kind of event: so many of one kind are put into the journal while it is stopped in its
//! tracks, then it is let go. The events are real ones, and every one of them is applied.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use proto::v1::{self, Outcome};
use proto::{
    Actor, BlobId, Event, EventId, Fact, FileCopied, FileDeleted, FileId, FileMoved, FileUndeleted, FileUploaded,
    FolderCreated, Item, MarkerId, NodeId, OnConflict, Path, RULES, ReplicaStored, Sha256Digest, SpaceId, SpaceName,
    StoredReplica, VersionRestored,
};
use runtime::clock::{Clock, Ids};
use tests::Cluster;

use crate::database::Database;

/// How often the checkpoint is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// The files that the events are about, and where the events go.
struct Subjects {
    jetstream: Context,
    ids: Ids,
    space_id: SpaceId,
    node: NodeId,
    other: (NodeId, MarkerId),
    marker_id: MarkerId,
    files: Vec<Subject>,
}

/// A file, and what is known of it beforehand: all ids follow from those of the events.
struct Subject {
    path: Path,
    file_id: FileId,
    blob_id: BlobId,
    uploaded_by: EventId,
    uploaded_at: u64,
}

/// The kinds after the first, in an order in which each of them is applied.
const KINDS: [(&str, Make); 8] = [
    ("FileUploaded, new versions", again),
    ("VersionRestored", restored),
    ("FileCopied", copied),
    ("ReplicaStored, one blob each", stored),
    ("FileMoved", moved),
    ("FileDeleted", deleted),
    ("FileUndeleted", undeleted),
    ("FolderCreated", folder),
];

/// Makes the event of one kind about a file.
type Make = fn(&Subjects, &Subject) -> Fact;

/// Answers a row for each kind. The blobs of these files are on no node, so nothing may come after this but the end; and
/// the replicators must be stopped.
pub(crate) async fn measure(cluster: &Cluster, count: usize) -> anyhow::Result<Vec<Vec<String>>> {
    let database = Database::open(cluster).await?;
    let mut subjects = Subjects::new(cluster, &database, count).await?;
    let mut rows = Vec::new();
    let name = |n: usize, folder: &str| -> Path { format!("{folder}/{n}").parse().expect("a path") };
    let new: Vec<Fact> =
        (0..count).map(|n| subjects.upload(name(n, "kinds"), BlobId::new(subjects.ids.v7()))).collect();
    let (row, events) = subjects.folded(cluster, &database, "FileUploaded, new files", new.clone()).await?;
    rows.push(row);
    for (fact, (id, n)) in new.into_iter().zip(events) {
        let Fact::FileUploaded(uploaded) = fact else { continue };
        let (path, blob_id) = (uploaded.path, uploaded.blob_id);
        subjects.files.push(Subject { path, file_id: id.file_id(), blob_id, uploaded_by: id, uploaded_at: n });
    }
    for (kind, fact) in KINDS {
        let facts = subjects.files.iter().map(|file| fact(&subjects, file)).collect();
        rows.push(subjects.folded(cluster, &database, kind, facts).await?.0);
    }
    database.close().await;
    Ok(rows)
}

fn again(s: &Subjects, f: &Subject) -> Fact {
    s.upload(f.path.clone(), BlobId::new(s.ids.v7()))
}

fn restored(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&f.path);
    let version_id = f.uploaded_by.version_id();
    Fact::VersionRestored(VersionRestored { space_id, space, path, file_id: f.file_id, version_id, if_version: None })
}

fn copied(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, from) = s.place(&f.path);
    let to = format!("copies/{}", f.path).parse().expect("a path");
    let (file_id, version_id) = (f.file_id, f.uploaded_by.version_id());
    let on_conflict = OnConflict::Overwrite;
    Fact::FileCopied(FileCopied { space_id, space, from, to, file_id, version_id, if_version: None, on_conflict })
}

fn moved(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, from) = s.place(&f.path);
    let to = format!("moved/{}", f.path).parse().expect("a path");
    let (item, on_conflict) = (Item::File(f.file_id), OnConflict::Fail);
    Fact::FileMoved(FileMoved { space_id, space, from, to, item, if_version: None, on_conflict })
}

fn stored(s: &Subjects, f: &Subject) -> Fact {
    let replicas = vec![StoredReplica { blob_id: f.blob_id, cause: f.uploaded_at }];
    Fact::ReplicaStored(ReplicaStored { node: s.other.0.clone(), marker_id: s.other.1, replicas })
}

fn deleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&format!("moved/{}", f.path).parse().expect("a path"));
    Fact::FileDeleted(FileDeleted { space_id, space, path, file_id: f.file_id, if_version: None })
}

fn undeleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&f.path);
    let (item, on_conflict) = (Item::File(f.file_id), OnConflict::Fail);
    Fact::FileUndeleted(FileUndeleted { space_id, space, path, item, version_id: None, on_conflict })
}

fn folder(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&format!("folders/{}", f.path).parse().expect("a path"));
    Fact::FolderCreated(FolderCreated { space_id, space, path })
}

impl Subjects {
    async fn new(cluster: &Cluster, database: &Database, count: usize) -> anyhow::Result<Self> {
        let nodes = database.nodes().await?;
        let [(node, marker_id), other, ..] = nodes.as_slice() else { anyhow::bail!("fewer than two nodes") };
        let client = async_nats::connect(cluster.stack.nats_url()?).await?;
        Ok(Self {
            jetstream: jetstream::new(client),
            ids: Ids::system(),
            space_id: database.main_space().await?,
            node: node.clone(),
            other: other.clone(),
            marker_id: *marker_id,
            files: Vec::with_capacity(count),
        })
    }

    fn place(&self, path: &Path) -> (SpaceId, SpaceName, Path) {
        (self.space_id, SpaceName::main(), path.clone())
    }

    fn upload(&self, path: Path, blob_id: BlobId) -> Fact {
        Fact::FileUploaded(FileUploaded {
            space_id: self.space_id,
            space: SpaceName::main(),
            path,
            blob_id,
            size_bytes: 5,
            sha256: Sha256Digest::of(blob_id.to_string().as_bytes()),
            slices_sha256: None,
            slice_bytes: None,
            content_type: String::new(),
            modified_at: None,
            node: self.node.clone(),
            marker_id: self.marker_id,
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        })
    }

    /// Has the facts folded, all of one kind; answers the row, and each event with its sequence number.
    async fn folded(
        &self,
        cluster: &Cluster,
        database: &Database,
        kind: &str,
        facts: Vec<Fact>,
    ) -> anyhow::Result<(Vec<String>, Vec<(EventId, u64)>)> {
        let count = facts.len();
        cluster.stack.pause("projector").await?;
        let published = self.publish(facts).await;
        let started = Instant::now();
        cluster.stack.resume("projector").await?;
        let published = published?;
        let last = published.iter().map(|(_, n)| *n).max().unwrap_or_default();
        while database.checkpoint().await? < last {
            ensure!(started.elapsed() < Duration::from_mins(5), "{kind}: the projector does not get on");
            tokio::time::sleep(LOOK).await;
        }
        let seconds = started.elapsed().as_secs_f64();
        let request = v1::GetReceiptRequest {
            event_id: published.last().context("no events")?.0.to_string(),
            ..Default::default()
        };
        let receipt = cluster.client().await?.files.get_receipt(request).await?.into_inner().receipt;
        let receipt = receipt.context("no receipt")?;
        ensure!(receipt.outcome() == Outcome::Applied, "{kind}: {receipt:?}");
        Ok((vec![format!("folding {kind}"), format!("{:.0} events/s", count as f64 / seconds)], published))
    }

    /// Publishes all; nobody else may, so that their order is the order of their sequences.
    async fn publish(&self, facts: Vec<Fact>) -> anyhow::Result<Vec<(EventId, u64)>> {
        let mut under_way = Vec::with_capacity(facts.len());
        for fact in facts {
            let id = EventId::new(self.ids.v7());
            let (source, time) = ("/highwater/bench".to_owned(), Clock::system().now());
            let (actor, request_id, fingerprint, rules) = (Actor::system(), None, None, RULES);
            let event = Event { id, source, time, actor, request_id, fingerprint, rules, fact };
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id.to_string());
            let payload = event.encode().into();
            let sent = self.jetstream.publish_with_headers(event.fact.subject(), headers, payload).await?;
            under_way.push((id, sent));
        }
        let mut published = Vec::with_capacity(under_way.len());
        for (id, sent) in under_way {
            published.push((id, sent.await?.sequence));
        }
        Ok(published)
    }
}
