//! The calls about what was given up and why, and about nodes that are taken out.

use proto::v1;

use super::Service;
use crate::error::{Code, Error, Result};
use crate::files::{What, Wish, request};
use crate::grpc::{convert, pages};

impl Service {
    pub(super) async fn parked(&self, request: v1::ListParkedRequest) -> Result<v1::ListParkedResponse> {
        let node = optional(&request.node, request::node)?;
        let at_least = request::min_sequence(&request.min_sequence)?;
        let ask = |page_size| self.files.given_up(node.as_ref(), page_size, &request.page_token, at_least);
        let incarnation = self.files.incarnation()?;
        let mut page = ask(request.page_size).await?;
        let mut replicas = convert::given_up(&page.given_up, incarnation);
        let fitting = pages::fitting(&replicas, self.files.limits().page_bytes);
        if (fitting as usize) < replicas.len() {
            page = ask(fitting).await?;
            replicas = convert::given_up(&page.given_up, incarnation);
        }
        Ok(v1::ListParkedResponse { replicas, next_page_token: page.next_page_token })
    }

    pub(super) async fn redrive_all(&self, request: v1::RedriveRequest) -> Result<v1::RedriveResponse> {
        let wish = Wish {
            node: optional(&request.node, request::node)?,
            blob_id: optional(&request.blob_id, request::blob_id)?,
            pending: request.pending,
        };
        let author = request::author(&request.actor, &request.request_id)?;
        let redriven = self.files.redrive(wish, &author).await?;
        let sequence = redriven.at.map(|at| at.to_string()).unwrap_or_default();
        Ok(v1::RedriveResponse { replicas: redriven.replicas, sequence })
    }

    pub(super) async fn explain_one(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse> {
        let what = match request.what {
            Some(v1::explain_request::What::File(file)) => What::File(request::place(&file.space, &file.path)?),
            Some(v1::explain_request::What::BlobId(blob_id)) => What::Blob(request::blob_id(&blob_id)?),
            None => return Err(Error::new(Code::IdInvalid, "the request must name either a file or a blob id")),
        };
        let at_least = request::min_sequence(&request.min_sequence)?;
        let explained = self.files.explain(&what, at_least).await?;
        let mut response = convert::explained(&explained, self.files.incarnation()?);
        let fitting = pages::fitting(&response.events, self.files.limits().page_bytes) as usize;
        if fitting < response.events.len() {
            response.events.truncate(fitting);
            response.events_cut = true;
        }
        Ok(response)
    }

    pub(super) async fn retire(&self, request: v1::RetireNodeRequest) -> Result<v1::RetireNodeResponse> {
        let author = request::author(&request.actor, &request.request_id)?;
        let retirement = self.files.retire_node(&request::node(&request.node)?, &author).await?;
        Ok(v1::RetireNodeResponse {
            sequence: retirement.at.map(|at| at.to_string()).unwrap_or_default(),
            waiting_for: retirement.waiting_for.unwrap_or_default(),
            blobs_elsewhere_pending: retirement.blobs,
        })
    }
}

/// What a request may leave out, by leaving it empty.
fn optional<T>(text: &str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { parse(text).map(Some) }
}
