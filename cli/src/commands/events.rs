//! `highwater events`.

use proto::v1::{ListEventsRequest, ListEventsResponse};
use tonic::Response;

use crate::args::Events;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_path;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Shows the events of a file: whole pages as they come as JSON, one table of all for people.
pub(super) async fn run(context: &Context, args: Events) -> Result<(), Failure> {
    let path = parse_path(&args.path)?;
    let client = context.connect().await?;
    let mut request = ListEventsRequest {
        space: context.space(),
        path: path.to_string(),
        page_size: args.page_size,
        page_token: String::new(),
        min_sequence: args.after.min_sequence(),
    };
    let mut all = Vec::new();
    loop {
        let page = context.caught_up(|| ask(&client, &request)).await?;
        match context.output.format {
            Format::Json => {
                context.output.print(&page.events.iter().map(render::json::event).collect::<String>())?;
            }
            Format::Text => all.extend(page.events),
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    match context.output.format {
        Format::Json => Ok(()),
        Format::Text => context.output.print(&render::text::events(&all)),
    }
}

async fn ask(client: &Client, request: &ListEventsRequest) -> Result<ListEventsResponse, Failure> {
    let answer = client.operations.clone().list_events(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::File))
}
