//! `highwater.v1.Operations`.

mod audit;
mod ops;
mod placement;
mod recover;

use std::time::Duration;

use proto::v1;
use tonic::{Request, Response, Status};

use super::{answer, convert, pages};
use crate::error::Result;
use crate::files::Files;
use crate::files::request;

/// The service.
pub(crate) struct Service {
    files: Files,
}

impl Service {
    /// A service on `files`.
    pub(crate) fn new(files: Files) -> Self {
        Self { files }
    }

    async fn status(&self) -> Result<v1::GetStatusResponse> {
        // Before the journal is open there is no answer, and the catalog need not be waited for.
        self.files.incarnation()?;
        convert::status(self.files.status(Duration::MAX).await)
    }

    async fn events(&self, request: v1::ListEventsRequest) -> Result<v1::ListEventsResponse> {
        let place = request::place(&request.space, &request.path)?;
        let at_least = request::min_sequence(&request.min_sequence)?;
        let ask = |page_size| self.files.events(&place, page_size, &request.page_token, at_least);
        let incarnation = self.files.incarnation()?;
        let mut page = ask(request.page_size).await?;
        let mut events = convert::events(&page.events, incarnation);
        let fitting = pages::fitting(&events, self.files.limits().page_bytes);
        if (fitting as usize) < events.len() {
            page = ask(fitting).await?;
            events = convert::events(&page.events, incarnation);
        }
        Ok(v1::ListEventsResponse { events, next_page_token: page.next_page_token })
    }
}

#[tonic::async_trait]
impl v1::operations_server::Operations for Service {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        Ok(Response::new(self.status().await?))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        Ok(Response::new(self.events(request.into_inner()).await?))
    }

    async fn list_parked(
        &self,
        request: Request<v1::ListParkedRequest>,
    ) -> Result<Response<v1::ListParkedResponse>, Status> {
        Ok(Response::new(self.parked(request.into_inner()).await?))
    }

    async fn redrive(&self, request: Request<v1::RedriveRequest>) -> Result<Response<v1::RedriveResponse>, Status> {
        Ok(Response::new(self.redrive_all(request.into_inner()).await?))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        Ok(Response::new(self.explain_one(request.into_inner()).await?))
    }

    type RecoverStream = answer::Messages<v1::RecoverResponse>;

    async fn recover(&self, request: Request<v1::RecoverRequest>) -> Result<Response<Self::RecoverStream>, Status> {
        Ok(Response::new(recover::messages(&self.files, &request.into_inner())?))
    }

    type AuditStream = answer::Messages<v1::AuditResponse>;

    async fn audit(&self, request: Request<v1::AuditRequest>) -> Result<Response<Self::AuditStream>, Status> {
        Ok(Response::new(audit::messages(&self.files, request.into_inner())?))
    }

    async fn retire_node(
        &self,
        request: Request<v1::RetireNodeRequest>,
    ) -> Result<Response<v1::RetireNodeResponse>, Status> {
        Ok(Response::new(self.retire(request.into_inner()).await?))
    }

    async fn get_placement(
        &self,
        request: Request<v1::GetPlacementRequest>,
    ) -> Result<Response<v1::GetPlacementResponse>, Status> {
        Ok(Response::new(self.placement(&request.into_inner()).await?))
    }

    async fn set_placement(
        &self,
        request: Request<v1::SetPlacementRequest>,
    ) -> Result<Response<v1::SetPlacementResponse>, Status> {
        Ok(Response::new(self.place(&request.into_inner()).await?))
    }
}
