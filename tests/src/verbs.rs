//! Every change of the tree as one call on `main`, for tests that make many of them.

use proto::v1::{self, OnConflict, Receipt};
use tonic::Status;

use crate::Client;

/// Takes the receipt out of an answer.
macro_rules! receipt {
    ($call:expr) => {
        $call.await?.into_inner().receipt.ok_or_else(|| Status::internal("an answer without a receipt"))
    };
}

impl Client {
    pub async fn create_space(&mut self, space: &str) -> Result<Receipt, Status> {
        let request = v1::CreateSpaceRequest { space: space.to_owned(), ..Default::default() };
        receipt!(self.files.create_space(request))
    }

    pub async fn mkdir(&mut self, path: &str) -> Result<Receipt, Status> {
        let request = v1::CreateFolderRequest { path: path.to_owned(), ..Default::default() };
        receipt!(self.files.create_folder(request))
    }

    pub async fn delete(&mut self, path: &str) -> Result<Receipt, Status> {
        self.delete_if(v1::DeleteRequest { path: path.to_owned(), ..Default::default() }).await
    }

    pub async fn delete_tree(&mut self, path: &str) -> Result<Receipt, Status> {
        self.delete_if(v1::DeleteRequest { path: path.to_owned(), recursive: true, ..Default::default() }).await
    }

    pub async fn delete_if(&mut self, request: v1::DeleteRequest) -> Result<Receipt, Status> {
        receipt!(self.files.delete(request))
    }

    pub async fn mv(&mut self, from: &str, to: &str, on_conflict: OnConflict) -> Result<Receipt, Status> {
        let request = v1::MoveRequest {
            from: from.to_owned(),
            to: to.to_owned(),
            on_conflict: on_conflict.into(),
            ..Default::default()
        };
        receipt!(self.files.r#move(request))
    }

    pub async fn cp(&mut self, from: &str, to: &str, on_conflict: OnConflict) -> Result<Receipt, Status> {
        let request = v1::CopyRequest {
            from: from.to_owned(),
            to: to.to_owned(),
            on_conflict: on_conflict.into(),
            ..Default::default()
        };
        receipt!(self.files.copy(request))
    }

    pub async fn restore(&mut self, path: &str, version_id: &str) -> Result<Receipt, Status> {
        let (path, version_id) = (path.to_owned(), version_id.to_owned());
        receipt!(self.files.restore(v1::RestoreRequest { path, version_id, ..Default::default() }))
    }

    pub async fn undelete_file(&mut self, file_id: &str) -> Result<Receipt, Status> {
        self.undelete(v1::UndeleteRequest { file_id: file_id.to_owned(), ..Default::default() }).await
    }

    pub async fn undelete(&mut self, request: v1::UndeleteRequest) -> Result<Receipt, Status> {
        receipt!(self.files.undelete(request))
    }

    /// All names in a folder of `main`, folders with a slash at their end.
    pub async fn ls(&mut self, path: &str) -> Result<Vec<String>, Status> {
        self.ls_at(path, "").await
    }

    /// As [`Client::ls`], at a point in the past.
    pub async fn ls_at(&mut self, path: &str, at: &str) -> Result<Vec<String>, Status> {
        let entries = self.entries(path, at, 1000).await?;
        Ok(entries
            .into_iter()
            .map(|entry| if entry.kind() == v1::EntryKind::Folder { entry.name + "/" } else { entry.name })
            .collect())
    }

    /// All entries of a folder of `main`, page by page.
    pub async fn entries(&mut self, path: &str, at: &str, page_size: u32) -> Result<Vec<v1::Entry>, Status> {
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        loop {
            let (path, at) = (path.to_owned(), at.to_owned());
            let request = v1::ListFolderRequest { path, at, page_size, page_token, ..Default::default() };
            let page = self.files.list_folder(request).await?.into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(entries);
            }
        }
    }

    /// The history of a file of `main`, newest first.
    pub async fn versions(&mut self, path: &str) -> Result<Vec<v1::Version>, Status> {
        let request = v1::ListVersionsRequest { path: path.to_owned(), ..Default::default() };
        Ok(self.files.list_versions(request).await?.into_inner().versions)
    }

    /// What is in the trash of `main`, newest first.
    pub async fn trash(&mut self) -> Result<Vec<v1::TrashEntry>, Status> {
        Ok(self.files.list_trash(v1::ListTrashRequest::default()).await?.into_inner().entries)
    }

    /// The changes of `main` after a sequence, up to now.
    pub async fn changes(&mut self, from_sequence: &str) -> Result<Vec<v1::Change>, Status> {
        let request = v1::WatchRequest { from_sequence: from_sequence.to_owned(), once: true, ..Default::default() };
        let mut stream = self.files.watch(request).await?.into_inner();
        let mut changes = Vec::new();
        while let Some(message) = stream.message().await? {
            if let Some(v1::watch_response::Payload::Change(change)) = message.payload {
                changes.push(change);
            }
        }
        Ok(changes)
    }
}
