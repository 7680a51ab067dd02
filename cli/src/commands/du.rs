//! `highwater du`.

use proto::v1::{GetUsageRequest, GetUsageResponse};
use tonic::Response;

use crate::args::Du;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_root;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Counts what is below a folder.
pub(super) async fn run(context: &Context, args: Du) -> Result<(), Failure> {
    let path = parse_root(args.path.as_deref())?;
    let request = GetUsageRequest { space: context.space(), path, min_sequence: args.after.min_sequence() };
    let client = context.connect().await?;
    let usage = context.caught_up(|| ask(&client, &request)).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::usage(&usage),
        Format::Json => render::json::usage(usage),
    })
}

async fn ask(client: &Client, request: &GetUsageRequest) -> Result<GetUsageResponse, Failure> {
    let answer = client.files.clone().get_usage(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Folder))
}
