//! `highwater versions`.

use proto::v1::{ListVersionsRequest, ListVersionsResponse};
use tonic::Response;

use crate::args::{Versions, optional};
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_path;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Shows the versions of a file: whole pages as they come as JSON, one table of all for people.
pub(super) async fn run(context: &Context, args: Versions) -> Result<(), Failure> {
    let path = args.path.as_deref().map(parse_path).transpose()?;
    let mut request = ListVersionsRequest {
        space: context.space(),
        path: optional(path.as_ref()),
        file_id: optional(args.file_id.as_ref()),
        page_size: args.page_size,
        page_token: String::new(),
        min_sequence: args.after.min_sequence(),
    };
    let client = context.connect().await?;
    let mut all = Vec::new();
    loop {
        let page = context.caught_up(|| ask(&client, &request)).await?;
        match context.output.format {
            Format::Json => {
                context.output.print(&page.versions.iter().map(render::json::listed_version).collect::<String>())?;
            }
            Format::Text => all.extend(page.versions),
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    match context.output.format {
        Format::Json => Ok(()),
        Format::Text => context.output.print(&render::text::versions(&all)),
    }
}

async fn ask(client: &Client, request: &ListVersionsRequest) -> Result<ListVersionsResponse, Failure> {
    let answer = client.files.clone().list_versions(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::File))
}
