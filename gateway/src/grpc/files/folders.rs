//! The calls about folders, and about files and folders as names in them.

use proto::{OnConflict, v1};

use super::Service;
use crate::error::Result;
use crate::files::request;
use crate::files::{Browse, Copy, Move, Undelete};
use crate::grpc::{convert, pages};

impl Service {
    pub(super) async fn create_folder(&self, asked: v1::CreateFolderRequest) -> Result<v1::CreateFolderResponse> {
        let place = request::place(&asked.space, &asked.path)?;
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.create_folder(place, author).await?;
        Ok(v1::CreateFolderResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn list_folder(&self, asked: v1::ListFolderRequest) -> Result<v1::ListFolderResponse> {
        let mut wanted = Browse {
            space: request::space(&asked.space)?,
            folder: request::folder(&asked.path)?,
            at: request::at(&asked.at)?,
            page_size: asked.page_size,
            page_token: asked.page_token,
            at_least: request::min_sequence(&asked.min_sequence)?,
        };
        let incarnation = self.files.incarnation()?;
        let mut page = self.files.browse(&wanted).await?;
        let mut entries = convert::entries(&page.entries, incarnation);
        let fitting = pages::fitting(&entries, self.files.limits().page_bytes);
        if (fitting as usize) < entries.len() {
            wanted.page_size = fitting;
            page = self.files.browse(&wanted).await?;
            entries = convert::entries(&page.entries, incarnation);
        }
        Ok(v1::ListFolderResponse { entries, next_page_token: page.next_page_token })
    }

    pub(super) async fn get_usage(&self, asked: v1::GetUsageRequest) -> Result<v1::GetUsageResponse> {
        let (space, folder) = (request::space(&asked.space)?, request::folder(&asked.path)?);
        let at_least = request::min_sequence(&asked.min_sequence)?;
        let usage = self.files.usage(&space, folder.as_ref(), at_least).await?;
        Ok(v1::GetUsageResponse { files: usage.files, folders: usage.folders, bytes: usage.bytes })
    }

    pub(super) async fn delete(&self, asked: v1::DeleteRequest) -> Result<v1::DeleteResponse> {
        let place = request::place(&asked.space, &asked.path)?;
        let if_version = request::version_id(&asked.if_version)?;
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.delete(place, asked.recursive, if_version, author).await?;
        Ok(v1::DeleteResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn move_item(&self, asked: v1::MoveRequest) -> Result<v1::MoveResponse> {
        let wanted = Move {
            space: request::space(&asked.space)?,
            from: request::path(&asked.from)?,
            to: request::path(&asked.to)?,
            on_conflict: request::on_conflict(asked.on_conflict, OnConflict::Fail)?,
            if_version: request::version_id(&asked.if_version)?,
        };
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.move_item(wanted, author).await?;
        Ok(v1::MoveResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn copy(&self, asked: v1::CopyRequest) -> Result<v1::CopyResponse> {
        let wanted = Copy {
            space: request::space(&asked.space)?,
            from: request::path(&asked.from)?,
            to: request::path(&asked.to)?,
            version_id: request::version_id(&asked.version_id)?,
            on_conflict: request::on_conflict(asked.on_conflict, OnConflict::Fail)?,
            if_version: request::version_id(&asked.if_version)?,
        };
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.copy(wanted, author).await?;
        Ok(v1::CopyResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn list_trash(&self, asked: v1::ListTrashRequest) -> Result<v1::ListTrashResponse> {
        let space = request::space(&asked.space)?;
        let at_least = request::min_sequence(&asked.min_sequence)?;
        let ask = |page_size| self.files.trash(&space, page_size, &asked.page_token, at_least);
        let incarnation = self.files.incarnation()?;
        let mut page = ask(asked.page_size).await?;
        let mut entries = convert::trash(&page.trashed, incarnation);
        let fitting = pages::fitting(&entries, self.files.limits().page_bytes);
        if (fitting as usize) < entries.len() {
            page = ask(fitting).await?;
            entries = convert::trash(&page.trashed, incarnation);
        }
        Ok(v1::ListTrashResponse { entries, next_page_token: page.next_page_token })
    }

    pub(super) async fn undelete(&self, asked: v1::UndeleteRequest) -> Result<v1::UndeleteResponse> {
        let wanted = Undelete {
            space: request::space(&asked.space)?,
            item: request::item(&asked.file_id, &asked.folder_id)?,
            path: request::folder(&asked.path)?,
            on_conflict: request::on_conflict(asked.on_conflict, OnConflict::Fail)?,
        };
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.undelete(wanted, author).await?;
        Ok(v1::UndeleteResponse { receipt: Some(convert::receipt(receipt)) })
    }
}
