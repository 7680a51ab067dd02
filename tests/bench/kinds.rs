//! How fast the projector folds each kind of event: so many of one kind are put into the journal while it is stopped in its
//! tracks, then it is let go. The events are real ones, and every one of them is applied. Left out are the rare kinds about
//! nodes and the placement.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, Context};
use proto::v1::{self, Outcome};
use proto::{
    Actor, BlobCondemned, BlobErased, BlobErasureOrdered, BlobId, ErasedBlob, Event, EventId, Fact, FileCopied,
    FileDeleted, FileId, FileMoved, FileUndeleted, FileUploaded, FolderCreated, FolderDeleted, FolderId, Item,
    MarkerId, NodeId, OnConflict, Path, PruneReason, PrunedVersion, RULES, ReplicaLost, ReplicaStored,
    ReplicationParked, ReplicationRedriven, RetentionSet, Sha256Digest, SpaceCreated, SpaceDeleted, SpaceId, SpaceName,
    SpaceRenamed, StoredReplica, VersionRestored, VersionsPruned, WantedCopy,
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
    /// The last event so far.
    last: u64,
}

/// A file, and what is known of it beforehand: all ids follow from those of the events.
struct Subject {
    path: Path,
    file_id: FileId,
    blob_id: BlobId,
    uploaded_by: EventId,
    uploaded_at: u64,
    /// The content of its second version, which is pruned and erased.
    second_blob: BlobId,
    /// The events about it so far, by their rows in the table.
    events: HashMap<&'static str, (EventId, u64)>,
}

/// The kinds after the first, in an order in which each of them is applied.
const KINDS: [(&str, Make); 23] = [
    (AGAIN, again),
    ("VersionRestored", restored),
    ("FileCopied", copied),
    (STORED, stored),
    ("ReplicaLost, one blob each", lost),
    (REDRIVEN, redriven),
    ("ReplicationParked", parked),
    ("FileUploaded, instant", instant),
    ("FileMoved", moved),
    ("FileDeleted", deleted),
    ("FileUndeleted", undeleted),
    (FOLDER, folder),
    ("FileMoved, folders", folder_moved),
    ("FolderDeleted", folder_deleted),
    ("FileUndeleted, folders", folder_undeleted),
    ("RetentionSet", retention),
    ("VersionsPruned, one version each", pruned),
    ("BlobCondemned, one blob each", condemned),
    (ORDERED, ordered),
    ("BlobErased, one blob each", erased),
    (SPACE, space),
    ("SpaceRenamed", space_renamed),
    ("SpaceDeleted", space_deleted),
];

// Rows whose events later ones name.
const AGAIN: &str = "FileUploaded, new versions";
const STORED: &str = "ReplicaStored, one blob each";
const REDRIVEN: &str = "ReplicationRedriven, one blob each";
const FOLDER: &str = "FolderCreated";
const ORDERED: &str = "BlobErasureOrdered, one blob each";
const SPACE: &str = "SpaceCreated";

/// Changes of spaces are rare, and some need a transaction each: of these, no more are measured.
const MAX_SPACES: usize = 500;

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
        subjects.files.push(Subject {
            path: uploaded.path,
            file_id: id.file_id(),
            blob_id: uploaded.blob_id,
            uploaded_by: id,
            uploaded_at: n,
            second_blob: BlobId::new(subjects.ids.v7()),
            events: HashMap::new(),
        });
    }
    for (kind, fact) in KINDS {
        let most = if kind.starts_with("Space") { MAX_SPACES } else { count };
        let facts = subjects.files.iter().take(most).map(|file| fact(&subjects, file)).collect();
        let (row, events) = subjects.folded(cluster, &database, kind, facts).await?;
        rows.push(row);
        subjects.last = events.last().context("no events")?.1;
        for (file, event) in subjects.files.iter_mut().zip(events) {
            file.events.insert(kind, event);
        }
    }
    database.close().await;
    Ok(rows)
}

fn again(s: &Subjects, f: &Subject) -> Fact {
    s.upload(f.path.clone(), f.second_blob)
}

fn instant(s: &Subjects, f: &Subject) -> Fact {
    match s.upload(below("instant", f), f.blob_id) {
        Fact::FileUploaded(uploaded) => Fact::FileUploaded(FileUploaded { instant: true, ..uploaded }),
        other => other,
    }
}

fn restored(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&f.path);
    let version_id = f.uploaded_by.version_id();
    Fact::VersionRestored(VersionRestored { space_id, space, path, file_id: f.file_id, version_id, if_version: None })
}

fn copied(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, from) = s.place(&f.path);
    let to = below("copies", f);
    let (file_id, version_id) = (f.file_id, f.uploaded_by.version_id());
    let on_conflict = OnConflict::Overwrite;
    Fact::FileCopied(FileCopied { space_id, space, from, to, file_id, version_id, if_version: None, on_conflict })
}

fn moved(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, from) = s.place(&f.path);
    let to = below("moved", f);
    let (item, on_conflict) = (Item::File(f.file_id), OnConflict::Fail);
    Fact::FileMoved(FileMoved { space_id, space, from, to, item, if_version: None, on_conflict })
}

fn stored(s: &Subjects, f: &Subject) -> Fact {
    let replicas = vec![StoredReplica { blob_id: f.blob_id, cause: f.uploaded_at }];
    Fact::ReplicaStored(ReplicaStored { node: s.other.0.clone(), marker_id: s.other.1, replicas })
}

fn lost(s: &Subjects, f: &Subject) -> Fact {
    Fact::ReplicaLost(ReplicaLost {
        node: s.other.0.clone(),
        marker_id: s.other.1,
        evaluated_at: f.by(STORED).1,
        reason: "it is not there".to_owned(),
        replicas: vec![s.wanted(f)],
    })
}

fn redriven(s: &Subjects, f: &Subject) -> Fact {
    Fact::ReplicationRedriven(ReplicationRedriven { node: s.other.0.clone(), replicas: vec![s.wanted(f)] })
}

fn parked(s: &Subjects, f: &Subject) -> Fact {
    let ((node, marker_id), blob_id) = (s.other.clone(), f.blob_id);
    let (cause, reason) = (f.by(REDRIVEN).1, "it cannot be read".to_owned());
    Fact::ReplicationParked(ReplicationParked { node, marker_id, blob_id, cause, attempts: 5, reason })
}

fn deleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&below("moved", f));
    Fact::FileDeleted(FileDeleted { space_id, space, path, file_id: f.file_id, if_version: None })
}

fn undeleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&f.path);
    let (item, on_conflict) = (Item::File(f.file_id), OnConflict::Fail);
    Fact::FileUndeleted(FileUndeleted { space_id, space, path, item, version_id: None, on_conflict })
}

fn folder(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&below("folders", f));
    Fact::FolderCreated(FolderCreated { space_id, space, path })
}

fn folder_moved(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, from) = s.place(&below("folders", f));
    let (to, item, on_conflict) = (below("shelf", f), Item::Folder(f.folder_id()), OnConflict::Fail);
    Fact::FileMoved(FileMoved { space_id, space, from, to, item, if_version: None, on_conflict })
}

fn folder_deleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&below("shelf", f));
    Fact::FolderDeleted(FolderDeleted { space_id, space, path, folder_id: f.folder_id(), recursive: false })
}

fn folder_undeleted(s: &Subjects, f: &Subject) -> Fact {
    let (space_id, space, path) = s.place(&below("folders", f));
    let (item, on_conflict) = (Item::Folder(f.folder_id()), OnConflict::Fail);
    Fact::FileUndeleted(FileUndeleted { space_id, space, path, item, version_id: None, on_conflict })
}

/// Keeps everything that there is.
fn retention(s: &Subjects, _: &Subject) -> Fact {
    let (space_id, space) = (s.space_id, SpaceName::main());
    Fact::RetentionSet(RetentionSet { space_id, space, keep_versions: Some(1000), keep_days: None })
}

fn pruned(s: &Subjects, f: &Subject) -> Fact {
    let version_id = f.by(AGAIN).0.version_id();
    let version = PrunedVersion { version_id, file_id: f.file_id, because: PruneReason::Versions, trash: None };
    let (space_id, space) = (s.space_id, SpaceName::main());
    Fact::VersionsPruned(VersionsPruned { space_id, space, evaluated_at: s.last, versions: vec![version] })
}

fn condemned(_: &Subjects, f: &Subject) -> Fact {
    Fact::BlobCondemned(BlobCondemned { blob_ids: vec![f.second_blob], orphans: Vec::new() })
}

fn ordered(_: &Subjects, f: &Subject) -> Fact {
    Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: vec![f.second_blob] })
}

fn erased(s: &Subjects, f: &Subject) -> Fact {
    let blobs = vec![ErasedBlob { blob_id: f.second_blob, cause: f.by(ORDERED).1 }];
    Fact::BlobErased(BlobErased { node: s.node.clone(), marker_id: s.marker_id, blobs })
}

fn space(_: &Subjects, f: &Subject) -> Fact {
    Fact::SpaceCreated(SpaceCreated { name: f.space_name("bench") })
}

fn space_renamed(_: &Subjects, f: &Subject) -> Fact {
    let (space, name) = (f.space_name("bench"), f.space_name("renamed"));
    Fact::SpaceRenamed(SpaceRenamed { space_id: f.own_space(), space, name })
}

fn space_deleted(_: &Subjects, f: &Subject) -> Fact {
    let (space_id, space) = (f.own_space(), f.space_name("renamed"));
    Fact::SpaceDeleted(SpaceDeleted { space_id, space, force: false, keep_days: Some(30) })
}

fn below(folder: &str, f: &Subject) -> Path {
    format!("{folder}/{}", f.path).parse().expect("a path")
}

impl Subject {
    fn by(&self, kind: &str) -> (EventId, u64) {
        *self.events.get(kind).expect("a row of the table above the one that asks")
    }

    /// The folder that an event made for it, below two others.
    fn folder_id(&self) -> FolderId {
        self.by(FOLDER).0.folder_id(2)
    }

    fn own_space(&self) -> SpaceId {
        SpaceId::new(self.by(SPACE).0.derive(0))
    }

    fn space_name(&self, word: &str) -> SpaceName {
        let text = format!("{word}-{}", self.path.as_str().replace('/', "-"));
        text.parse().expect("a space name")
    }
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
            last: 0,
        })
    }

    fn place(&self, path: &Path) -> (SpaceId, SpaceName, Path) {
        (self.space_id, SpaceName::main(), path.clone())
    }

    fn wanted(&self, f: &Subject) -> WantedCopy {
        WantedCopy {
            blob_id: f.blob_id,
            size_bytes: 5,
            sha256: Sha256Digest::of(f.blob_id.to_string().as_bytes()),
            slices_sha256: None,
            slice_bytes: None,
            space_id: self.space_id,
            event_id: f.uploaded_by,
            source: self.node.clone(),
        }
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
