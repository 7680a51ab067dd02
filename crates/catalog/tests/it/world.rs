//! What a test needs: a database, a journal made by hand, and a projector in a few lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use catalog::{Checkpoint, Config, Generations, Reader, Switch, Writer};
use fold::{Input, View};
use proto::{
    Actor, BlobId, Event, EventId, Fact, FileUploaded, Fingerprint, Incarnation, MarkerId, NodeId, NodeJoined,
    OnConflict, Path, RULES, Recorded, ReplicaStored, ReplicationParked, Sequence, Sha256Digest, SpaceCreated, SpaceId,
    SpaceName, StoredReplica,
};
use runtime::clock::Ids;
use runtime::shutdown::Shutdown;
use runtime::tasks::Tasks;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cluster::Cluster;

/// Long enough for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A migrated database and the tasks of a process.
pub(crate) struct World {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) database: String,
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
}

/// A journal made by hand.
pub(crate) struct Journal {
    pub(crate) incarnation: Incarnation,
    pub(crate) events: Vec<Recorded>,
    space: Option<SpaceId>,
    ids: Ids,
}

/// Other databases for each test.
static DATABASES: AtomicU32 = AtomicU32::new(0);

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().expect("tests write node ids right")
}

pub(crate) fn main_space() -> SpaceName {
    SpaceName::main()
}

pub(crate) fn path(text: &str) -> Path {
    text.parse().expect("tests write paths right")
}

/// The marker of a node in these journals.
pub(crate) fn marker(node: &str) -> MarkerId {
    MarkerId::new(Uuid::new_v5(&Uuid::NAMESPACE_OID, node.as_bytes()))
}

// === impl World ===

impl World {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        Self::on(Cluster::shared()?).await
    }

    pub(crate) async fn on(cluster: Arc<Cluster>) -> anyhow::Result<Self> {
        let database = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        cluster.create_database(&database)?;
        let mut config = Config::new(cluster.url(&database));
        config.poll_interval = Duration::from_millis(100);
        config.lock_interval = Duration::from_millis(50);
        catalog::migrate(&config).await?;
        let tasks = Tasks::new(Shutdown::new());
        Ok(Self { cluster, database, config, tasks })
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.config, &self.tasks)
    }

    pub(crate) async fn writer(&self, journal: &Journal) -> anyhow::Result<Writer> {
        let cancel = CancellationToken::new();
        let opened = Writer::open(&self.config, journal.incarnation, || {}, &cancel);
        Ok(tokio::time::timeout(PATIENCE, opened).await.context("the lock never came")??)
    }

    /// Folds the journal into a first generation and switches to it; the reader has seen it.
    pub(crate) async fn with(journal: &Journal) -> anyhow::Result<(Self, Writer, Reader)> {
        let world = Self::new().await?;
        let (writer, reader) = world.build(journal).await?;
        Ok((world, writer, reader))
    }

    pub(crate) async fn build(&self, journal: &Journal) -> anyhow::Result<(Writer, Reader)> {
        let mut writer = self.writer(journal).await?;
        fold(&mut writer, journal, 1000).await?;
        self.generations().await?.switch(writer.generation(), Switch::CaughtUp).await?;
        let reader = self.reader();
        reader.wait_for(journal.head(), PATIENCE).await?;
        Ok((writer, reader))
    }

    /// A further generation that is folded as far as the journal goes, and does not answer reads.
    pub(crate) async fn beside(&self, journal: &Journal) -> anyhow::Result<Writer> {
        let generation = self.generations().await?.create(journal.incarnation).await?;
        let mut writer = Writer::open_generation(&self.config, generation).await?;
        fold(&mut writer, journal, 10).await?;
        Ok(writer)
    }

    pub(crate) async fn generations(&self) -> anyhow::Result<Generations> {
        Ok(Generations::open(&self.config).await?)
    }

    pub(crate) fn sql(&self, sql: &str) -> anyhow::Result<String> {
        self.cluster.sql(&self.database, sql)
    }
}

// === impl Journal ===

impl Journal {
    pub(crate) fn new(seed: u64) -> Self {
        let ids = Ids::seeded(seed);
        Self { incarnation: Incarnation::new(ids.v4()), events: Vec::new(), space: None, ids }
    }

    /// Three nodes and the space `main`.
    pub(crate) fn begun(seed: u64) -> Self {
        let mut journal = Self::new(seed);
        for name in ["node-a", "node-b", "node-c"] {
            journal.join(name);
        }
        let created = Fact::SpaceCreated(SpaceCreated { name: SpaceName::main() });
        let event = journal.publish(created);
        journal.space = Some(SpaceId::new(event.derive(0)));
        journal
    }

    pub(crate) fn n(&self) -> u64 {
        self.events.len() as u64
    }

    pub(crate) fn head(&self) -> Sequence {
        Sequence { incarnation: self.incarnation, n: self.n() }
    }

    pub(crate) fn space(&self) -> SpaceId {
        self.space.unwrap_or_else(|| SpaceId::new(Uuid::nil()))
    }

    pub(crate) fn join(&mut self, name: &str) -> EventId {
        self.publish(Fact::NodeJoined(NodeJoined {
            node: node(name),
            marker_id: marker(name),
            endpoint: format!("http://{name}"),
            bucket: "highwater".to_owned(),
        }))
    }

    /// An upload of `size` bytes to node-a; answers the event and the blob.
    pub(crate) fn upload(&mut self, path: &str, size_bytes: u64) -> (EventId, BlobId) {
        self.upload_as(path, size_bytes, OnConflict::Overwrite)
    }

    pub(crate) fn upload_as(&mut self, to: &str, size_bytes: u64, on_conflict: OnConflict) -> (EventId, BlobId) {
        let blob_id = BlobId::new(self.ids.v7());
        let long = size_bytes > proto::SLICE_BYTES;
        let event = self.publish(Fact::FileUploaded(FileUploaded {
            space_id: self.space(),
            space: SpaceName::main(),
            path: path(to),
            blob_id,
            size_bytes,
            sha256: Sha256Digest::of(blob_id.to_string().as_bytes()),
            slices_sha256: long.then(|| Sha256Digest::of(b"slices")),
            slice_bytes: long.then_some(proto::SLICE_BYTES),
            content_type: "text/plain".to_owned(),
            modified_at: Some(OffsetDateTime::UNIX_EPOCH),
            node: node("node-a"),
            marker_id: marker("node-a"),
            targets: None,
            if_version: None,
            on_conflict,
            instant: false,
        }));
        (event, blob_id)
    }

    pub(crate) fn stored(&mut self, on: &str, blobs: &[BlobId]) -> EventId {
        let cause = self.n();
        let replicas = blobs.iter().map(|blob_id| StoredReplica { blob_id: *blob_id, cause }).collect();
        self.publish(Fact::ReplicaStored(ReplicaStored { node: node(on), marker_id: marker(on), replicas }))
    }

    pub(crate) fn parked(&mut self, on: &str, blob_id: BlobId, reason: &str) -> EventId {
        let cause = self.n();
        self.publish(Fact::ReplicationParked(ReplicationParked {
            node: node(on),
            marker_id: marker(on),
            blob_id,
            cause,
            attempts: 7,
            reason: reason.to_owned(),
        }))
    }

    pub(crate) fn publish(&mut self, fact: Fact) -> EventId {
        let id = EventId::new(self.ids.v7());
        self.publish_as(id, fact);
        id
    }

    pub(crate) fn publish_as(&mut self, id: EventId, fact: Fact) {
        let n = self.n() + 1;
        let fingerprint = Fingerprint::of_fact(&fact);
        let event = Event {
            id,
            source: "/highwater/test".to_owned(),
            time: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(n),
            actor: Actor::anonymous(),
            request_id: None,
            fingerprint,
            rules: RULES,
            fact,
        };
        self.events.push(Recorded {
            n,
            subject: event.fact.subject(),
            message_id: id.to_string(),
            payload: event.encode().into(),
        });
    }

    /// The last event once more, as after the duplicate window.
    pub(crate) fn repeat(&mut self) {
        if let Some(last) = self.events.last().cloned() {
            self.events.push(Recorded { n: self.n() + 1, ..last });
        }
    }

    pub(crate) fn garbage(&mut self) {
        let n = self.n() + 1;
        let subject = "hw.v1.file_uploaded".to_owned();
        self.events.push(Recorded { n, subject, message_id: String::new(), payload: vec![0, 159, 146, 150].into() });
    }
}

/// A projector: folds what of the journal is not folded yet, in batches.
pub(crate) async fn fold(writer: &mut Writer, journal: &Journal, batch: usize) -> anyhow::Result<()> {
    fold_up_to(writer, &journal.events, batch).await
}

/// As [`fold`], of a journal that has only these events so far.
pub(crate) async fn fold_up_to(writer: &mut Writer, events: &[Recorded], batch: usize) -> anyhow::Result<()> {
    let mut at = writer.checkpoint().await?;
    let mut todo = &events[usize::try_from(at.n)?..];
    while !todo.is_empty() {
        let (taken, to) = fold_batch(writer, at, &todo[..batch.min(todo.len())]).await?;
        todo = &todo[taken..];
        at = to;
    }
    Ok(())
}

/// Folds at most these events and saves; answers how many and the new checkpoint.
pub(crate) async fn fold_batch(
    writer: &mut Writer,
    from: Checkpoint,
    batch: &[Recorded],
) -> anyhow::Result<(usize, Checkpoint)> {
    let mut view = View::default();
    let events: Vec<Option<Event>> = batch.iter().map(|recorded| recorded.decode().ok()).collect();
    let keys = view.unknown(events.iter().flatten().flat_map(fold::keys));
    writer.load(&keys, &mut view).await?;
    let mut at = from;
    let mut taken = 0;
    for (recorded, event) in batch.iter().zip(&events) {
        let input = event.as_ref().map_or(Input::Undecodable, Input::Event);
        while let Err(missing) = fold::apply(&mut view, recorded, input) {
            writer.load(&missing.0, &mut view).await?;
        }
        taken += 1;
        let event_id = event.as_ref().map(|event| event.id);
        at = Checkpoint { incarnation: at.incarnation, n: recorded.n, event_id, chain: recorded.chain(at.chain) };
        if event.as_ref().is_some_and(fold::ends_batch) {
            break;
        }
    }
    writer.save(&view.take_changes(), &from, &at).await?;
    Ok((taken, at))
}
