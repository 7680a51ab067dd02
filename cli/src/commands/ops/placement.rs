//! `highwater ops placement`.

use proto::v1::{GetPlacementRequest, Placement, PlacementNode, SetPlacementRequest};

use crate::args::{Copies, OpsPlacement};
use crate::commands::Context;
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
    let mut client = context.connect().await?;
    let copies = args.copies.map(Copies::get);
    let nodes = args.nodes.iter().map(PlacementNode::from).collect();
    let answer = client.operations.set_placement(SetPlacementRequest { copies, nodes, actor: context.actor() }).await;
    let answer = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?;
    Ok(answer.into_inner().placement.unwrap_or_default())
}
