//! `highwater ls`.

use proto::v1::{ListFilesRequest, ListFilesResponse};
use tonic::Response;

use crate::args::Ls;
use crate::client::Client;
use crate::commands::{Context, parse_path};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Lists a folder, printing each page as it comes.
pub(super) async fn run(context: &Context, args: Ls) -> Result<(), Failure> {
    let folder = match args.folder.as_deref() {
        None | Some("" | "/") => String::new(),
        Some(folder) => parse_path(folder.strip_suffix('/').unwrap_or(folder))?.to_string(),
    };
    let client = context.connect().await?;
    let mut request = ListFilesRequest {
        space: context.space(),
        folder,
        page_size: args.page_size,
        page_token: String::new(),
        min_sequence: args.after.min_sequence(),
    };
    let render = match context.output.format {
        Format::Text => render::text::listed,
        Format::Json => render::json::listed,
    };
    loop {
        let page = context.caught_up(|| ask(&client, &request)).await?;
        context.output.print(&page.files.iter().map(render).collect::<String>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn ask(client: &Client, request: &ListFilesRequest) -> Result<ListFilesResponse, Failure> {
    let answer = client.files.clone().list_files(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Folder))
}
