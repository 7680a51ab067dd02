//! `highwater explain`, also as `highwater ops explain`.

use proto::BlobId;
use proto::v1::explain_request::What;
use proto::v1::{ExplainRequest, ExplainResponse, FilePlace};
use tonic::Response;

use crate::args::Explain;
use crate::client::Client;
use crate::commands::Context;
use crate::commands::paths::parse_path;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// Says why the content of a file, or a blob, is where it is.
pub(in crate::commands) async fn run(context: &Context, args: Explain) -> Result<(), Failure> {
    let what = match args.what.parse::<BlobId>() {
        Ok(blob_id) => What::BlobId(blob_id.to_string()),
        Err(_) => What::File(FilePlace { space: context.space(), path: parse_path(&args.what)?.to_string() }),
    };
    let client = context.connect().await?;
    let request = ExplainRequest { what: Some(what), min_sequence: args.after.min_sequence() };
    let explained = context.caught_up(|| ask(&client, &request)).await?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::explained(&explained),
        Format::Json => render::json::explained(&explained),
    })
}

async fn ask(client: &Client, request: &ExplainRequest) -> Result<ExplainResponse, Failure> {
    let answer = client.operations.clone().explain(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::File))
}
