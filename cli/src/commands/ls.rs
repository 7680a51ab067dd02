//! `highwater ls`.

use proto::v1::{ListFilesRequest, ListFilesResponse, ListFolderRequest, ListFolderResponse};
use tonic::Response;

use crate::args::{Ls, optional};
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_root;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Lists a folder, printing each page as it comes.
pub(super) async fn run(context: &Context, args: Ls) -> Result<(), Failure> {
    let folder = parse_root(args.folder.as_deref())?;
    let client = context.connect().await?;
    if args.recursive {
        files(context, &client, folder, &args).await
    } else {
        names(context, &client, folder, &args).await
    }
}

async fn names(context: &Context, client: &Client, path: String, args: &Ls) -> Result<(), Failure> {
    let mut request = ListFolderRequest {
        space: context.space(),
        path,
        page_size: args.page_size,
        page_token: String::new(),
        min_sequence: args.after.min_sequence(),
        at: optional(args.at.as_ref()),
    };
    let render = match context.output.format {
        Format::Text => render::text::entry,
        Format::Json => render::json::entry,
    };
    loop {
        let page = context.caught_up(|| ask_names(client, &request)).await?;
        context.output.print(&page.entries.iter().map(render).collect::<String>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn files(context: &Context, client: &Client, folder: String, args: &Ls) -> Result<(), Failure> {
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
        let page = context.caught_up(|| ask_files(client, &request)).await?;
        context.output.print(&page.files.iter().map(render).collect::<String>())?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

async fn ask_names(client: &Client, request: &ListFolderRequest) -> Result<ListFolderResponse, Failure> {
    let answer = client.files.clone().list_folder(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Folder))
}

async fn ask_files(client: &Client, request: &ListFilesRequest) -> Result<ListFilesResponse, Failure> {
    let answer = client.files.clone().list_files(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Folder))
}
