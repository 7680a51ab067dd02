//! `highwater ops placement`.

use proto::v1::{GetPlacementRequest, Placement, PlacementNode, SetPlacementRequest};

use crate::args::{Copies, OpsPlacement};
use crate::commands::again::again;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Changes what the flags name, and shows what is so.
pub(super) async fn run(context: &Context, args: OpsPlacement) -> Result<(), Failure> {
    let placement = if args.copies.is_none() && args.nodes.is_empty() {
        context.caught_up(|| show(context, &args)).await?
    } else {
        change(context, &args).await?
    };
    context.output.print(&match context.output.format {
        Format::Text => render::text::placement(&placement),
        Format::Json => render::json::placement(&placement),
    })
}

async fn show(context: &Context, args: &OpsPlacement) -> Result<Placement, Failure> {
    let mut client = context.connect().await?;
    let request = GetPlacementRequest { min_sequence: args.after.min_sequence() };
    let answer = client.operations.get_placement(request).await;
    let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?;
    Ok(answer.into_inner().placement.unwrap_or_default())
}

async fn change(context: &Context, args: &OpsPlacement) -> Result<Placement, Failure> {
    let client = context.connect().await?;
    let request = SetPlacementRequest {
        copies: args.copies.map(Copies::get),
        nodes: args.nodes.iter().map(PlacementNode::from).collect(),
        actor: context.actor(),
        request_id: change::request_id(&args.change),
    };
    let ask = || {
        let (mut operations, request) = (client.operations.clone(), request.clone());
        async move {
            let answer = operations.set_placement(request).await;
            answer.map_err(|status| Failure::from_status(&status, Sought::Other))
        }
    };
    let answer = again(context, args.change.retry_for, ask).await?;
    Ok(answer.into_inner().placement.unwrap_or_default())
}
