//! `highwater receipt`.

use proto::v1::{GetReceiptRequest, Receipt};

use crate::args;
use crate::client::Client;
use crate::commands::{Context, change};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Shows what became of a change. To know that it was rejected is what was asked for, and no failure.
pub(super) async fn run(context: &Context, args: args::Receipt) -> Result<(), Failure> {
    let request = GetReceiptRequest { event_id: args.event_id.to_string(), min_sequence: args.after.min_sequence() };
    let client = context.connect().await?;
    let receipt = context.caught_up(|| ask(&client, &request)).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::receipt(&receipt),
        Format::Json => render::json::receipt(&receipt),
    })
}

async fn ask(client: &Client, request: &GetReceiptRequest) -> Result<Receipt, Failure> {
    let answer = client.files.clone().get_receipt(request.clone()).await;
    let receipt = answer.map_err(|status| Failure::from_status(&status, Sought::Other))?.into_inner().receipt;
    receipt.ok_or_else(change::without_receipt)
}
