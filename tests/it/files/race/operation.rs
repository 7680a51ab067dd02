//! What clients ask for, and what they were told.

use anyhow::ensure;
use proto::v1::{self, OnConflict, Receipt, UploadMetadata};
use proto::{EventId, Fact, Item, SpaceId};
use tests::{Client, digest_of};
use tonic::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    CreateOnly,
    Swap,
    Move,
    Delete,
    MoveFolder,
    DeleteFolder,
}

/// One change as a client asks for it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) kind: Kind,
    pub(super) path: &'static str,
    /// Of a move.
    pub(super) to: &'static str,
    /// Of a swap: the version that is to be replaced.
    pub(super) if_version: String,
    pub(super) on_conflict: OnConflict,
    /// Of an upload, also the content: no two have the same one.
    pub(super) request_id: String,
    pub(super) actor: String,
}

/// A change with its answer; an error that says that nothing was done is its reason.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) operation: Operation,
    pub(super) answer: Result<Receipt, String>,
}

// === impl Kind ===

impl Kind {
    pub(super) fn is_upload(self) -> bool {
        matches!(self, Self::CreateOnly | Self::Swap)
    }

    pub(super) fn is_of_folder(self) -> bool {
        matches!(self, Self::MoveFolder | Self::DeleteFolder)
    }
}

// === impl Operation ===

impl Operation {
    pub(super) async fn send(&self, client: &mut Client) -> Result<Receipt, Status> {
        let (path, request_id, actor) = (self.path.to_owned(), self.request_id.clone(), self.actor.clone());
        let (if_version, on_conflict) = (self.if_version.clone(), self.on_conflict.into());
        match self.kind {
            Kind::CreateOnly | Kind::Swap => {
                let content = request_id.clone();
                let about = UploadMetadata { path, if_version, on_conflict, request_id, actor, ..Default::default() };
                client.upload(about, futures::stream::iter([content.into()])).await
            }
            Kind::Move | Kind::MoveFolder => {
                let to = self.to.to_owned();
                let request = v1::MoveRequest { from: path, to, on_conflict, request_id, actor, ..Default::default() };
                let answer = client.files.r#move(request).await?.into_inner();
                answer.receipt.ok_or_else(|| Status::internal("an answer without a receipt"))
            }
            Kind::Delete | Kind::DeleteFolder => {
                let recursive = self.kind == Kind::DeleteFolder;
                let request = v1::DeleteRequest { path, recursive, request_id, actor, ..Default::default() };
                client.delete_if(request).await
            }
        }
    }

    /// The id of its event, whether there is one or not.
    pub(super) fn event_id(&self, space_id: SpaceId) -> EventId {
        EventId::of_request(&self.actor, space_id, &self.request_id)
    }

    /// The event says what the client asked for, no more and no less.
    pub(super) fn is_said_by(&self, fact: &Fact) -> anyhow::Result<()> {
        let conflict = match self.on_conflict {
            OnConflict::Overwrite => proto::OnConflict::Overwrite,
            OnConflict::Fail | OnConflict::Unspecified => proto::OnConflict::Fail,
            OnConflict::KeepBoth => proto::OnConflict::KeepBoth,
        };
        let same = match fact {
            Fact::FileUploaded(uploaded) => {
                let base = uploaded.if_version.map(|id| id.to_string()).unwrap_or_default();
                let digest = digest_of(self.request_id.as_bytes());
                self.kind.is_upload()
                    && (base.as_str(), uploaded.on_conflict) == (self.if_version.as_str(), conflict)
                    && (uploaded.path.as_str(), uploaded.sha256) == (self.path, digest)
            }
            Fact::FileMoved(moved) => {
                let is_folder = matches!(moved.item, Item::Folder(_));
                self.kind == if is_folder { Kind::MoveFolder } else { Kind::Move }
                    && (moved.from.as_str(), moved.to.as_str(), moved.on_conflict) == (self.path, self.to, conflict)
            }
            Fact::FileDeleted(deleted) => self.kind == Kind::Delete && deleted.path.as_str() == self.path,
            Fact::FolderDeleted(deleted) => {
                self.kind == Kind::DeleteFolder && deleted.path.as_str() == self.path && deleted.recursive
            }
            _ => false,
        };
        ensure!(same, "asked for {self:?}, published {fact:?}");
        Ok(())
    }
}
