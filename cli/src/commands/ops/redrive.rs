//! `highwater ops redrive`.

use proto::v1::RedriveRequest;

use crate::args::{OpsRedrive, optional};
use crate::commands::Context;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Asks again for what was given up or lost.
pub(super) async fn run(context: &Context, args: OpsRedrive) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let (node, blob_id) = (optional(args.node.as_ref()), optional(args.blob.as_ref()));
    let answer = client.operations.redrive(RedriveRequest { node, blob_id, pending: args.pending }).await;
    let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?.into_inner();
    context.output.print(&match context.output.format {
        Format::Text => render::text::redriven(&answer),
        Format::Json => render::json::redriven(&answer),
    })
}
