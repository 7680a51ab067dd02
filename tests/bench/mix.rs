//! A journal as people make it, as long as it is wanted: new files in folders, new versions, moves, deletions and copies of
//! files old and new, and the copies of all content on the other nodes. Every event is applied.

use anyhow::{Context as _, ensure};
use async_nats::{Client, HeaderMap};
use proto::{
    Actor, BlobId, Event, EventId, Fact, FileCopied, FileDeleted, FileId, FileMoved, FileUploaded, Item, MarkerId,
    NodeId, OnConflict, Path, RULES, ReplicaStored, Sha256Digest, SpaceId, SpaceName, StoredReplica, VersionId,
};
use runtime::clock::{Clock, Ids};
use serde::Deserialize;

/// Events that are published together: as many as JetStream takes in one atomic batch.
const BATCH: u64 = 1000;
/// Events after which the kinds come again: seven uploads, a move, a deletion, a copy, and two reports of seven copies.
const ROUND: u64 = 12;
/// Which of the files an event is about: far from each other, so that no cache is sure to have them.
const STRIDE: u64 = 7919;

/// Makes the events, and knows what there is.
pub(crate) struct Mix {
    pub(crate) space_id: SpaceId,
    pub(crate) nodes: Vec<(NodeId, MarkerId)>,
    ids: Ids,
    clock: Clock,
    files: Vec<Placed>,
    /// Files made so far.
    made: u64,
    /// What was uploaded in this round, and by which event.
    fresh: Vec<(BlobId, u64)>,
}

struct Placed {
    path: Path,
    file_id: FileId,
    version_id: VersionId,
}

/// What the server answers to the last event of a batch.
#[derive(Debug, Deserialize)]
struct Ack {
    seq: Option<u64>,
}

// === impl Mix ===

impl Mix {
    pub(crate) fn new(space_id: SpaceId, nodes: Vec<(NodeId, MarkerId)>) -> Self {
        let (ids, clock) = (Ids::system(), Clock::system());
        Self { space_id, nodes, ids, clock, files: Vec::new(), made: 0, fresh: Vec::new() }
    }

    /// Publishes the events after event `from` up to and with event `to`; nobody else may publish meanwhile.
    pub(crate) async fn publish(&mut self, client: &Client, from: u64, to: u64) -> anyhow::Result<()> {
        let mut n = from;
        while n < to {
            let (first, last) = (n, to.min(n + BATCH));
            let batch = self.ids.v7().to_string();
            while n < last {
                n += 1;
                let event = self.event(n)?;
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Msg-Id", event.id.to_string());
                headers.insert("Nats-Batch-Id", batch.as_str());
                headers.insert("Nats-Batch-Sequence", (n - first).to_string());
                let (subject, payload) = (event.fact.subject(), event.encode().into());
                if n < last {
                    client.publish_with_headers(subject, headers, payload).await?;
                    continue;
                }
                headers.insert("Nats-Batch-Commit", "1");
                let answer = client.request_with_headers(subject, headers, payload).await?;
                let ack: Ack = serde_json::from_slice(&answer.payload)?;
                ensure!(ack.seq == Some(n), "{n}: {}", String::from_utf8_lossy(&answer.payload));
            }
        }
        Ok(())
    }

    /// The event at sequence `n`.
    fn event(&mut self, n: u64) -> anyhow::Result<Event> {
        let id = EventId::new(self.ids.v7());
        let fact = match n % ROUND {
            0 | 1 if !self.fresh.is_empty() => self.stored(usize::try_from(n % ROUND)? + 1),
            8 if self.files.len() > 100 => self.upload_again(id, n),
            9 if self.files.len() > 100 => self.moved(n)?,
            10 if self.files.len() > 100 => self.deleted(n),
            11 if self.files.len() > 100 => self.copied(id, n)?,
            _ => self.upload(id, n)?,
        };
        let (source, time) = ("/highwater/bench".to_owned(), self.clock.now());
        let (actor, request_id, fingerprint, rules) = (Actor::system(), None, None, RULES);
        Ok(Event { id, source, time, actor, request_id, fingerprint, rules, fact })
    }

    fn upload(&mut self, id: EventId, n: u64) -> anyhow::Result<Fact> {
        let path = self.new_path("files")?;
        self.files.push(Placed { path: path.clone(), file_id: id.file_id(), version_id: id.version_id() });
        Ok(self.content(path, n))
    }

    fn upload_again(&mut self, id: EventId, n: u64) -> Fact {
        let file = self.pick(n);
        let path = self.files[file].path.clone();
        self.files[file].version_id = id.version_id();
        self.content(path, n)
    }

    fn content(&mut self, path: Path, n: u64) -> Fact {
        let blob_id = BlobId::new(self.ids.v7());
        let (node, marker_id) = self.nodes[0].clone();
        self.fresh.push((blob_id, n));
        Fact::FileUploaded(FileUploaded {
            space_id: self.space_id,
            space: SpaceName::main(),
            path,
            blob_id,
            size_bytes: 4096,
            sha256: Sha256Digest::of(blob_id.to_string().as_bytes()),
            slices_sha256: None,
            slice_bytes: None,
            content_type: "text/plain".to_owned(),
            modified_at: None,
            node,
            marker_id,
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        })
    }

    fn moved(&mut self, n: u64) -> anyhow::Result<Fact> {
        let (file, to) = (self.pick(n), self.new_path("moved")?);
        let file = &mut self.files[file];
        let from = std::mem::replace(&mut file.path, to.clone());
        Ok(Fact::FileMoved(FileMoved {
            space_id: self.space_id,
            space: SpaceName::main(),
            from,
            to,
            item: Item::File(file.file_id),
            if_version: None,
            on_conflict: OnConflict::Fail,
        }))
    }

    fn deleted(&mut self, n: u64) -> Fact {
        let at = self.pick(n);
        let Placed { path, file_id, .. } = self.files.swap_remove(at);
        let (space_id, space) = (self.space_id, SpaceName::main());
        Fact::FileDeleted(FileDeleted { space_id, space, path, file_id, if_version: None })
    }

    fn copied(&mut self, id: EventId, n: u64) -> anyhow::Result<Fact> {
        let (file, to) = (self.pick(n), self.new_path("copies")?);
        let Placed { path: from, file_id, version_id } = &self.files[file];
        let fact = Fact::FileCopied(FileCopied {
            space_id: self.space_id,
            space: SpaceName::main(),
            from: from.clone(),
            to: to.clone(),
            file_id: *file_id,
            version_id: *version_id,
            if_version: None,
            on_conflict: OnConflict::Fail,
        });
        self.files.push(Placed { path: to, file_id: id.file_id(), version_id: id.version_id() });
        Ok(fact)
    }

    /// The reports of the other nodes, at the end of a round.
    fn stored(&mut self, node: usize) -> Fact {
        let (node_id, marker_id) = self.nodes[node].clone();
        let replicas = self.fresh.iter().map(|&(blob_id, cause)| StoredReplica { blob_id, cause }).collect();
        if node == 2 {
            self.fresh.clear();
        }
        Fact::ReplicaStored(ReplicaStored { node: node_id, marker_id, replicas })
    }

    /// A hundred in a folder, a hundred folders in another.
    fn new_path(&mut self, top: &str) -> anyhow::Result<Path> {
        let k = self.made;
        self.made += 1;
        format!("{top}/{}/{}/document {k}.txt", k / 10_000, k / 100 % 100).parse().context("a path")
    }

    fn pick(&self, n: u64) -> usize {
        usize::try_from(n.wrapping_mul(STRIDE) % self.files.len() as u64).expect("an index")
    }
}
