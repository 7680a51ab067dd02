//! `highwater ops status`, and `highwater status`.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use proto::v1::{GetStatusRequest, GetStatusResponse};
use runtime::retry::Transient as _;

use crate::args::Status;
use crate::client::Client;
use crate::commands::Context;
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// How often a watched status is shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Puts the cursor in the corner and clears the terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows the journal, the catalog and the nodes, once or every second.
pub(in crate::commands) async fn run(context: &Context, args: Status) -> Result<(), Failure> {
    let client = context.connect().await?;
    if !args.watch {
        return show(context, &ask(&client).await?, "");
    }
    let redraws = context.output.format == Format::Text && io::stdout().is_terminal();
    let mut before = if redraws { CLEAR } else { "" };
    loop {
        match ask(&client).await {
            Ok(status) => show(context, &status, before)?,
            // It may be restarted: who watches wants to see it come back.
            Err(failure) if failure.is_transient() => context.output.note(&failure.to_string()),
            Err(failure) => return Err(failure),
        }
        if !redraws && context.output.format == Format::Text {
            before = "\n";
        }
        tokio::time::sleep(SHOW_EVERY).await;
    }
}

fn show(context: &Context, status: &GetStatusResponse, before: &str) -> Result<(), Failure> {
    context.output.print(&match context.output.format {
        Format::Text => before.to_owned() + &render::text::status(status),
        Format::Json => render::json::status(status),
    })
}

async fn ask(client: &Client) -> Result<GetStatusResponse, Failure> {
    let answer = client.operations.clone().get_status(GetStatusRequest {}).await;
    Ok(answer.map_err(|status| Failure::from_status(&status, Sought::Other))?.into_inner())
}
