//! `highwater ops parked`.

use proto::v1::{ListParkedRequest, ListParkedResponse};
use tonic::Response;

use crate::args::{OpsParked, optional};
use crate::client::Client;
use crate::commands::Context;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Lists what was given up: whole pages as they come as JSON, one table of all for people.
pub(super) async fn run(context: &Context, args: OpsParked) -> Result<(), Failure> {
    let client = context.connect().await?;
    let mut request = ListParkedRequest {
        node: optional(args.node.as_ref()),
        page_size: args.page_size,
        page_token: String::new(),
        min_sequence: args.after.min_sequence(),
    };
    let mut all = Vec::new();
    loop {
        let page = context.caught_up(|| ask(&client, &request)).await?;
        match context.output.format {
            Format::Json => {
                context.output.print(&page.replicas.iter().map(render::json::parked).collect::<String>())?;
            }
            Format::Text => all.extend(page.replicas),
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    match context.output.format {
        Format::Json => Ok(()),
        Format::Text => context.output.print(&render::text::parked(&all)),
    }
}

async fn ask(client: &Client, request: &ListParkedRequest) -> Result<ListParkedResponse, Failure> {
    let answer = client.operations.clone().list_parked(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Other))
}
