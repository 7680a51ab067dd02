//! Running the system, as one call each.

use proto::v1::{self, explain_request::What};
use tonic::Status;

use crate::Client;

impl Client {
    /// Everything that was given up.
    pub async fn parked(&mut self) -> Result<Vec<v1::ParkedReplica>, Status> {
        Ok(self.operations.list_parked(v1::ListParkedRequest::default()).await?.into_inner().replicas)
    }

    pub async fn redrive(&mut self, request: v1::RedriveRequest) -> Result<v1::RedriveResponse, Status> {
        Ok(self.operations.redrive(request).await?.into_inner())
    }

    /// Why the content of a file of `main` is where it is.
    pub async fn explain(&mut self, path: &str) -> Result<v1::ExplainResponse, Status> {
        let what = What::File(v1::FilePlace { path: path.to_owned(), ..Default::default() });
        let request = v1::ExplainRequest { what: Some(what), ..Default::default() };
        Ok(self.operations.explain(request).await?.into_inner())
    }

    pub async fn explain_blob(&mut self, blob_id: &str) -> Result<v1::ExplainResponse, Status> {
        let what = Some(What::BlobId(blob_id.to_owned()));
        Ok(self.operations.explain(v1::ExplainRequest { what, ..Default::default() }).await?.into_inner())
    }

    pub async fn retire(&mut self, node: &str) -> Result<v1::RetireNodeResponse, Status> {
        Ok(self
            .operations
            .retire_node(v1::RetireNodeRequest { node: node.to_owned(), ..Default::default() })
            .await?
            .into_inner())
    }
}
