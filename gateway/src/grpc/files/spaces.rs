//! The calls about spaces.

use proto::v1;

use super::Service;
use crate::error::Result;
use crate::files::{self, Prune, Retention, request};
use crate::grpc::convert;

impl Service {
    pub(super) async fn create_space(&self, asked: v1::CreateSpaceRequest) -> Result<v1::CreateSpaceResponse> {
        let (name, author) = (request::new_space(&asked.space)?, request::author(&asked.actor, &asked.request_id)?);
        let receipt = self.files.create_space(name, author).await?;
        Ok(v1::CreateSpaceResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn list_spaces(&self, asked: v1::ListSpacesRequest) -> Result<v1::ListSpacesResponse> {
        let spaces = self.files.spaces(request::min_sequence(&asked.min_sequence)?).await?;
        let incarnation = self.files.incarnation()?;
        let mut spaces: Vec<_> = spaces.iter().map(|row| convert::space(row, incarnation)).collect();
        if asked.include_deleted {
            let deleted = self.files.deleted_spaces().await?;
            spaces.extend(deleted.iter().map(|space| convert::deleted_space(space, incarnation)));
        }
        Ok(v1::ListSpacesResponse { spaces })
    }

    pub(super) async fn rename_space(&self, asked: v1::RenameSpaceRequest) -> Result<v1::RenameSpaceResponse> {
        let (space, name) = (request::space(&asked.space)?, request::new_space(&asked.new_name)?);
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.rename_space(space, name, author).await?;
        Ok(v1::RenameSpaceResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn delete_space(&self, asked: v1::DeleteSpaceRequest) -> Result<v1::DeleteSpaceResponse> {
        // Named, even if it is `main`: nothing shall be deleted for a word that was left out.
        let (space, author) = (request::new_space(&asked.space)?, request::author(&asked.actor, &asked.request_id)?);
        let receipt = self.files.delete_space(space, asked.force, author).await?;
        Ok(v1::DeleteSpaceResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn set_retention(&self, asked: v1::SetRetentionRequest) -> Result<v1::SetRetentionResponse> {
        let (space, author) = (request::space(&asked.space)?, request::author(&asked.actor, &asked.request_id)?);
        let retention = retention(asked.retention.unwrap_or_default())?;
        let receipt = self.files.set_retention(space, retention, author).await?;
        Ok(v1::SetRetentionResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn prune(&self, asked: v1::PruneRequest) -> Result<v1::PruneResponse> {
        let wanted = Prune {
            space: request::space(&asked.space)?,
            dry_run: asked.dry_run,
            instead: asked.retention.map(retention).transpose()?,
            at_least: request::min_sequence(&asked.min_sequence)?,
        };
        let author = request::author(&asked.actor, &asked.request_id)?;
        let (pruning, retention) = self.files.prune(&wanted, &author).await?;
        let pruned = pruning.shown.iter().map(|version| v1::PrunedVersion {
            path: version.path.as_ref().map(ToString::to_string).unwrap_or_default(),
            file_id: version.file_id.to_string(),
            version_id: version.version_id.to_string(),
            size_bytes: version.size_bytes,
            created_at: Some(convert::timestamp(version.created_at)),
            because: files::because(version, retention),
        });
        Ok(v1::PruneResponse {
            versions: pruning.versions,
            bytes: pruning.bytes,
            pruned: pruned.collect(),
            receipts: pruning.receipts.into_iter().map(convert::receipt).collect(),
        })
    }
}

fn retention(asked: v1::Retention) -> Result<Retention> {
    request::retention(asked.keep_versions, asked.keep_days)
}
