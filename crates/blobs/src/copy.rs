//! Copying a blob from any node that has it to one that lacks it.
//!
//! Bytes stream through, they are not kept. A target that refuses wrong checksums verifies what it receives; on any other
//! the bytes are hashed on the way and read back. The target is never left with a blob whose bytes are wrong.

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use proto::{MarkerId, NodeId, Sha256Digest, SliceDigests};
use time::OffsetDateTime;

use crate::body::Pieces;
use crate::breaker::Kind;
use crate::checksum::{Algorithm, Checksum};
use crate::copy::large::copy_large;
use crate::copy::recent::Known;
use crate::copy::relay::{Broken, Content};
use crate::copy::sources::Sources;
use crate::copy::there::There;
use crate::node::Object;
use crate::verify::{Unfit, read_back, read_back_parts};
use crate::{BlobRef, Error, Node, NodeFault, Nodes, ObjectMeta};

mod large;
mod recent;
mod relay;
mod sources;
mod there;

pub(crate) use recent::Recent;

/// How a copy is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyOptions {
    /// Nobody tried this copy before: the target is not asked whether it has the blob, which would cost as much as
    /// reading it.
    pub first_attempt: bool,
    /// What is on the target is known or feared to be wrong: it is read, and written over unless all of it is right,
    /// whatever the target says about it.
    pub overwrite: bool,
    /// Until then nobody can have ordered to erase the blob. A copy that is completed later looks whether that happened
    /// on the target meanwhile, and undoes itself if so.
    pub safe_until: OffsetDateTime,
}

/// A copy that is on the target, and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The target's marker.
    pub marker_id: MarkerId,
    /// How long the blob is.
    pub bytes: u64,
    /// Whether the target had it before.
    pub already_there: bool,
}

/// Why there is no copy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CopyError {
    /// A node is at fault: this says nothing about the blob, so it is no attempt.
    #[error("node {node} {reason}")]
    Node {
        /// Which one, source or target.
        node: NodeId,
        /// What kind of fault.
        fault: NodeFault,
        /// The rest of the sentence.
        reason: String,
    },
    /// This blob cannot be copied, while others can: an attempt.
    #[error("{reason}")]
    Blob {
        /// The whole sentence.
        reason: String,
    },
    /// The blob was erased, and nothing of it was left on the target. There is nothing to do, ever.
    #[error("the blob was erased on node {node}")]
    Erased {
        /// The node that says so: the target, or a source.
        node: NodeId,
    },
}

/// All that every step of a copy needs.
#[derive(Debug, Clone, Copy)]
struct Job<'a> {
    nodes: &'a Nodes,
    blob: &'a BlobRef,
    meta: &'a ObjectMeta,
    target: &'a Node,
    options: CopyOptions,
}

/// Copies `blob` to `target` from whichever of `sources` has it. A second run finds the first one's copy, or makes the same
/// object again: it is harmless.
pub async fn copy(
    nodes: &Nodes,
    blob: &BlobRef,
    meta: &ObjectMeta,
    sources: &[NodeId],
    target: &NodeId,
    options: CopyOptions,
) -> Result<Copied, CopyError> {
    let Some(target) = nodes.get(target) else {
        let reason = "is not configured".to_owned();
        return Err(CopyError::Node { node: target.clone(), fault: NodeFault::Unreachable, reason });
    };
    let marker_id = target.admit().await.map_err(|error| CopyError::at(target, error))?;
    let job = Job { nodes, blob, meta, target, options };
    let sources = Sources::new(nodes, sources, target.id());
    let already_there = match job.make(&sources).await {
        Ok(already_there) => already_there,
        Err(error) => return Err(job.why(error, &sources).await),
    };
    for node in std::iter::once(target).chain(sources.all()) {
        node.key_faults().forget(blob.blob_id);
    }
    if target.marker().map(|marker| marker.marker_id) != Some(marker_id) {
        let reason = "got another marker during the copy".to_owned();
        return Err(CopyError::Node { node: target.id().clone(), fault: NodeFault::WrongMarker, reason });
    }
    Ok(Copied { marker_id, bytes: blob.size_bytes, already_there })
}

// === impl Job ===

impl Job<'_> {
    /// Makes the copy, or what of it is not there; whether all of it was.
    async fn make(self, sources: &Sources) -> Result<bool, CopyError> {
        if !self.options.first_attempt {
            // What comes again may be old: then bytes that would only be deleted need not be copied.
            self.undo_if_erased().await?;
        }
        let there = self.there().await.map_err(|error| CopyError::at(self.target, error))?;
        match &there {
            There::All => {}
            There::Object(digests) => self.put_parts(digests).await?,
            There::Nothing => self.run(sources).await?,
        }
        self.undo_if_erased().await?;
        Ok(matches!(there, There::All))
    }

    async fn run(self, sources: &Sources) -> Result<(), CopyError> {
        self.blob.slices().map_err(|error| CopyError::at(self.target, error))?;
        let digests = match self.blob.slices_sha256 {
            None => None,
            Some(_) => Some(self.copy_parts(sources).await?),
        };
        match digests {
            Some(digests) if self.blob.size_bytes >= self.target.config().copy_parts_from => {
                copy_large(self, sources, &digests).await
            }
            digests => self.copy_whole(sources, digests.as_ref()).await,
        }
    }

    /// What a failed copy comes from. When the blob is nowhere to be had, it may have been erased: a tombstone on any node
    /// says that this was ordered for all of them, and that nobody needs the copy.
    async fn why(self, error: CopyError, sources: &Sources) -> CopyError {
        match error {
            CopyError::Node { node, fault, reason } if node == *self.target.id() => {
                let error = Error::Node { node, fault, reason };
                CopyError::at(self.target, self.target.blame(self.blob.blob_id, Kind::Write, error).await)
            }
            CopyError::Node { node, fault, reason } => {
                if sources.blame(self.blob.blob_id).await {
                    self.unless_erased(sources.verdict(), sources).await
                } else {
                    CopyError::Node { node, fault, reason }
                }
            }
            other => self.unless_erased(other, sources).await,
        }
    }

    async fn unless_erased(self, error: CopyError, sources: &Sources) -> CopyError {
        if matches!(error, CopyError::Blob { .. })
            && let Some(node) = self.erased_on(sources).await
        {
            return self.leave_nothing(node).await;
        }
        error
    }

    /// The first node that says that the blob was erased there. One that cannot say does not matter: the copy is tried
    /// again then.
    async fn erased_on(self, sources: &Sources) -> Option<NodeId> {
        for node in std::iter::once(self.target).chain(sources.all()) {
            if matches!(node.has_tombstone(self.blob.blob_id).await, Ok(true)) {
                return Some(node.id().clone());
            }
        }
        None
    }

    /// Copies the digests of the slices, and returns them.
    async fn copy_parts(self, sources: &Sources) -> Result<SliceDigests, CopyError> {
        let digests = sources.parts(self.blob).await?;
        self.put_parts(&digests).await?;
        Ok(digests)
    }

    async fn put_parts(self, digests: &SliceDigests) -> Result<(), CopyError> {
        let (target, blob) = (self.target, self.blob);
        let put = async {
            let list = Bytes::from(digests.to_bytes());
            let (key, meta) = (blob.blob_id.parts_key(), self.meta.entries(blob.blob_id));
            let object = Object {
                key: &key,
                len: list.len() as u64,
                meta: &meta,
                checksum: blob.slices_sha256.map(Checksum::Sha256),
                body: Pieces::body(&[list]),
            };
            target.put_object(object).await?;
            if !target.verifies().await?.object(Algorithm::Sha256) {
                read_back_parts(target, blob).await?;
            }
            Ok(())
        };
        put.await.map_err(|error| CopyError::at(target, error))
    }

    /// Copies the blob in one request.
    async fn copy_whole(self, sources: &Sources, digests: Option<&SliceDigests>) -> Result<(), CopyError> {
        let (target, blob) = (self.target, self.blob);
        let at_target = |error| CopyError::at(target, error);
        let verifies = target.verifies().await.map_err(at_target)?.object(Algorithm::Sha256);
        let (key, meta) = (blob.blob_id.key(), self.meta.entries(blob.blob_id));
        let content = Content { key: &key, range: None, len: blob.size_bytes, digest: blob.sha256 };
        let checksum = Some(Checksum::Sha256(blob.sha256));
        let mut copied = self.may_share() && {
            let object = |body| Object { key: &key, body, len: content.len, meta: &meta, checksum };
            self.copy_known(sources, &content, verifies, object).await?
        };
        for source in sources.order() {
            if copied {
                break;
            }
            let outcome = match relay::open(&source, &content, !verifies).await {
                Ok((body, watch)) => {
                    let object = Object { key: &key, body, len: content.len, meta: &meta, checksum };
                    watch.judge(target.put_object(object).await)
                }
                Err(unfit) => Err(Broken::Source(unfit)),
            };
            match outcome {
                Ok(()) => {
                    copied = true;
                    break;
                }
                Err(broken) => sources.note(&source, target, broken)?,
            }
        }
        if !copied {
            return Err(sources.verdict());
        }
        if verifies { Ok(()) } else { read_back(target, blob, digests).await.map_err(at_target) }
    }

    /// Whether bytes in memory may be used: only for a copy that nobody tried before, of a blob that nobody can have erased
    /// yet. Any other must find its bytes on a node, so that what is on none does not come back.
    fn may_share(self) -> bool {
        let CopyOptions { first_attempt, overwrite, safe_until } = self.options;
        let is_new = first_attempt && !overwrite && self.target.clock().now() <= safe_until;
        is_new && self.nodes.recent().takes(self.blob.size_bytes)
    }

    /// Copies a small blob from memory, where another copy of it may have put it just now. False when it could not be read
    /// so, or its bytes are wrong: then every source is tried by itself.
    async fn copy_known<'o>(
        self,
        sources: &Sources,
        content: &Content<'_>,
        verifies: bool,
        object: impl FnOnce(SdkBody) -> Object<'o>,
    ) -> Result<bool, CopyError> {
        let (blob, recent) = (self.blob.blob_id, self.nodes.recent());
        let Some(source) = sources.order().into_iter().next() else { return Ok(false) };
        let read = async {
            let body = source.get_range(content.key, None).await?;
            let from = source.id().clone();
            let pieces = body.collect_exactly(content.len).await?;
            pieces.map(|pieces| Known { from, pieces }).ok_or_else(|| Unfit::Wrong("has another length".to_owned()))
        };
        let known = match recent.get(blob, content.len, read).await {
            Ok(known) => known,
            Err(unfit) => {
                sources.note(&source, self.target, Broken::Source(unfit))?;
                return Ok(false);
            }
        };
        let sent = if verifies || Sha256Digest::of(&known.pieces.concat()) == content.digest {
            self.target.put_object(object(Pieces::body(&known.pieces))).await
        } else {
            Err(Error::Checksum { node: self.target.id().clone(), key: content.key.to_owned() })
        };
        match sent {
            Ok(()) => Ok(true),
            Err(Error::Checksum { .. }) => {
                recent.forget(blob);
                if let Some(from) = self.nodes.get(&known.from) {
                    sources.note(from, self.target, Broken::Source(Unfit::Wrong("has wrong bytes".to_owned())))?;
                }
                Ok(false)
            }
            Err(error) => Err(CopyError::at(self.target, error)),
        }
    }

    /// Looks for a tombstone that came before the copy did. The time is that at which the copy is complete: one that
    /// takes long, or comes again after hours, is as old as it is then.
    async fn undo_if_erased(self) -> Result<(), CopyError> {
        let (target, blob) = (self.target, self.blob.blob_id);
        if target.clock().now() <= self.options.safe_until {
            return Ok(());
        }
        match target.has_tombstone(blob).await {
            Ok(false) => Ok(()),
            Ok(true) => Err(self.leave_nothing(target.id().clone()).await),
            Err(error) => Err(CopyError::at(target, error)),
        }
    }

    /// Deletes what was copied of a blob that was erased, as `node` says.
    async fn leave_nothing(self, node: NodeId) -> CopyError {
        match self.target.delete_blob(self.blob.blob_id).await {
            Ok(()) => CopyError::Erased { node },
            Err(error) => CopyError::at(self.target, error),
        }
    }
}

// === impl CopyError ===

impl CopyError {
    /// What an error of the target means for the copy.
    fn at(target: &Node, error: Error) -> Self {
        let node = target.id().clone();
        match error {
            Error::Node { node, fault, reason } => Self::Node { node, fault, reason },
            // What is missing on a target is an upload under way, which comes back with the next try.
            Error::NotFound { key, .. } => {
                Self::Node { node, fault: NodeFault::Broken, reason: format!("lost the upload of {key}") }
            }
            Error::Setup { reason, .. } => Self::Node { node, fault: NodeFault::Broken, reason },
            // One that refuses this blob may refuse all of them.
            Error::Refused { key, reason, .. } => {
                Self::Node { node, fault: NodeFault::Broken, reason: format!("refuses {key}: {reason}") }
            }
            other => Self::Blob { reason: other.to_string() },
        }
    }
}
