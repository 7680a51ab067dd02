//! The calls about versions.

use std::time::Duration;

use proto::v1;

use super::Service;
use crate::error::{Code, Error, Result};
use crate::files::request;
use crate::grpc::{convert, pages};

impl Service {
    pub(super) async fn list_versions(&self, asked: v1::ListVersionsRequest) -> Result<v1::ListVersionsResponse> {
        let at_least = request::min_sequence(&asked.min_sequence)?;
        let file_id = if asked.file_id.is_empty() {
            self.files.file_id(&request::place(&asked.space, &asked.path)?, at_least).await?
        } else {
            request::file_id(&asked.file_id)?
        };
        let ask = |page_size| self.files.versions(file_id, page_size, &asked.page_token, at_least);
        let incarnation = self.files.incarnation()?;
        let mut page = ask(asked.page_size).await?;
        let mut versions = convert::versions(&page.versions, incarnation);
        let fitting = pages::fitting(&versions, self.files.limits().page_bytes);
        if (fitting as usize) < versions.len() {
            page = ask(fitting).await?;
            versions = convert::versions(&page.versions, incarnation);
        }
        let next_page_token = page.next_page_token;
        Ok(v1::ListVersionsResponse { versions, next_page_token, file_id: file_id.to_string() })
    }

    pub(super) async fn restore(&self, asked: v1::RestoreRequest) -> Result<v1::RestoreResponse> {
        let place = request::place(&asked.space, &asked.path)?;
        let version_id = version_id(&asked.version_id)?;
        let if_version = request::version_id(&asked.if_version)?;
        let author = request::author(&asked.actor, &asked.request_id)?;
        let receipt = self.files.restore(place, version_id, if_version, author).await?;
        Ok(v1::RestoreResponse { receipt: Some(convert::receipt(receipt)) })
    }

    pub(super) async fn wait_replicated(&self, asked: v1::WaitReplicatedRequest) -> Result<v1::WaitReplicatedResponse> {
        let version_id = version_id(&asked.version_id)?;
        let timeout = (asked.timeout_ms > 0).then(|| Duration::from_millis(asked.timeout_ms.into()));
        let at_least = request::min_sequence(&asked.min_sequence)?;
        let replicated = self.files.wait_replicated(version_id, asked.replicas, timeout, at_least).await?;
        Ok(v1::WaitReplicatedResponse {
            replicas_stored: u32::try_from(replicated.nodes.len()).unwrap_or(u32::MAX),
            nodes: replicated.nodes.iter().map(ToString::to_string).collect(),
        })
    }
}

fn version_id(text: &str) -> Result<proto::VersionId> {
    request::version_id(text)?.ok_or_else(|| Error::new(Code::IdInvalid, "the request names no version"))
}
