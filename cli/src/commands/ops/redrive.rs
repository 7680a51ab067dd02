//! `highwater ops redrive`.

use proto::v1::RedriveRequest;
use tonic::Response;

use crate::args::{OpsRedrive, optional};
use crate::commands::again::again;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Asks again for what was given up or lost.
pub(super) async fn run(context: &Context, args: OpsRedrive) -> Result<(), Failure> {
    let client = context.connect().await?;
    let request = RedriveRequest {
        node: optional(args.node.as_ref()),
        blob_id: optional(args.blob.as_ref()),
        pending: args.pending,
        request_id: change::request_id(&args.change),
        actor: context.actor(),
    };
    let ask = || {
        let (mut operations, request) = (client.operations.clone(), request.clone());
        async move {
            let answer = operations.redrive(request).await.map(Response::into_inner);
            answer.map_err(|status| Failure::from_status(&status, Sought::Other))
        }
    };
    let answer = again(context, args.change.retry_for, ask).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::redriven(&answer),
        Format::Json => render::json::redriven(&answer),
    })
}
