//! `highwater status`.

use proto::v1::GetStatusRequest;

use crate::commands::Context;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Shows the journal, the catalog and the nodes.
pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let status = client
        .operations
        .get_status(GetStatusRequest {})
        .await
        .map_err(|status| Failure::from_status(&status, Sought::Folder))?
        .into_inner();
    context.output.print(&match context.output.format {
        Format::Text => render::text::status(&status),
        Format::Json => render::json::status(&status),
    })
}
