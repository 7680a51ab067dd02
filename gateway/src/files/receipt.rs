//! What a change returns.

use catalog::{BlobRow, Outcome, ReceiptRow};
use proto::{BlobId, EventId, FileId, FileUploaded, NodeId, Path, Sequence, Sha256Digest, SpaceName, VersionId};

use super::Files;
use crate::error::{Code, Error, Result};

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It took effect as asked.
    Applied,
    /// Its content was kept at another place, which the receipt names.
    ConflictedCopy,
    /// It changed nothing.
    Rejected,
    /// It is in the journal and will be decided.
    Pending,
}

/// The answer to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The event.
    pub(crate) event_id: EventId,
    /// Its place in the journal.
    pub(crate) sequence: Sequence,
    /// What became of it.
    pub(crate) decision: Decision,
    /// Why, when it was not simply applied.
    pub(crate) reason: Option<String>,
    /// The space where it took effect.
    pub(crate) space: Option<SpaceName>,
    /// The path where it took effect.
    pub(crate) path: Option<Path>,
    /// The file it changed.
    pub(crate) file_id: Option<FileId>,
    /// The version it made.
    pub(crate) version_id: Option<VersionId>,
    /// The blob it named.
    pub(crate) blob_id: Option<BlobId>,
    /// The content.
    pub(crate) content: Option<Content>,
}

/// The content of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// Its size.
    pub(crate) size_bytes: u64,
    /// Its digest.
    pub(crate) sha256: Sha256Digest,
    /// The node that took the first copy.
    pub(crate) node: NodeId,
}

impl Files {
    /// What became of the change with this event id.
    pub(crate) async fn receipt(&self, event_id: EventId, at_least: Option<Sequence>) -> Result<Receipt> {
        self.reach(at_least).await?;
        let Some(row) = self.catalog().receipt(event_id).await? else {
            let problem = format!("the catalog knows no event {event_id}; it may not have come to it yet");
            return Err(Error::new(Code::ReceiptNotFound, problem));
        };
        let content = match row.version_id {
            Some(version_id) => self.catalog().version(version_id).await?.map(|version| Content::of(&version.blob)),
            None => None,
        };
        let sequence = self.sequence(row.seq)?;
        Ok(Receipt::decided(row, sequence, content))
    }
}

// === impl Receipt ===

impl Receipt {
    /// The receipt of a change that the catalog has decided.
    pub(crate) fn decided(row: ReceiptRow, sequence: Sequence, content: Option<Content>) -> Self {
        Self {
            event_id: row.event_id,
            sequence,
            decision: Decision::from(row.outcome),
            reason: row.reason,
            space: row.space,
            path: row.path,
            file_id: row.file_id,
            version_id: row.version_id,
            blob_id: row.blob_id,
            content,
        }
    }

    /// The receipt of an upload that is in the journal and not decided yet. An upload is never rejected, but where it
    /// will be is not certain.
    pub(crate) fn pending(event_id: EventId, sequence: Sequence, uploaded: &FileUploaded) -> Self {
        Self {
            event_id,
            sequence,
            decision: Decision::Pending,
            reason: None,
            space: Some(uploaded.space.clone()),
            path: Some(uploaded.path.clone()),
            file_id: None,
            version_id: Some(event_id.version_id()),
            blob_id: Some(uploaded.blob_id),
            content: Some(Content::uploaded(uploaded)),
        }
    }

    /// Whether the catalog already shows the change.
    pub(crate) fn is_projected(&self) -> bool {
        self.decision != Decision::Pending
    }
}

// === impl Content ===

impl Content {
    /// What an upload brought.
    pub(crate) fn uploaded(uploaded: &FileUploaded) -> Self {
        Self { size_bytes: uploaded.size_bytes, sha256: uploaded.sha256, node: uploaded.node.clone() }
    }

    /// What the catalog knows of a blob.
    pub(crate) fn of(blob: &BlobRow) -> Self {
        Self { size_bytes: blob.size_bytes, sha256: blob.sha256, node: blob.origin_node.clone() }
    }
}

// === impl Decision ===

impl From<Outcome> for Decision {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied => Self::Applied,
            Outcome::ConflictedCopy => Self::ConflictedCopy,
            // A repeated event is never in a receipt; it changed nothing.
            Outcome::Rejected | Outcome::Repeated => Self::Rejected,
        }
    }
}
