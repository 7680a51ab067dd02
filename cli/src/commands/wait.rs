//! `highwater wait`.

use std::cell::RefCell;
use std::time::Duration;

use proto::v1::{GetFileRequest, WaitReplicatedRequest, WaitReplicatedResponse};
use runtime::retry::Transient as _;
use tonic::Response;

use crate::args::{Wait, optional};
use crate::client::Client;
use crate::commands::paths::parse_path;
use crate::commands::{Context, stat};
use crate::exit::{Failure, Sought};
use crate::output::Format;
use crate::render;

/// How soon it asks again when the gateway has waited as long as it does, or is away.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Waits until enough nodes hold a version's bytes.
pub(super) async fn run(context: &Context, args: Wait) -> Result<(), Failure> {
    let path = args.path.as_deref().map(parse_path).transpose()?;
    let last = RefCell::new(String::new());
    let work = async {
        let client = context.connect().await?;
        let version_id = match path {
            Some(path) => {
                let (space, min_sequence) = (context.space(), args.after.min_sequence());
                let request = GetFileRequest { space, path: path.to_string(), min_sequence, ..Default::default() };
                let file = context.caught_up(|| stat::ask(&client, &request)).await?;
                file.version.unwrap_or_default().version_id
            }
            None => optional(args.version_id.as_ref()),
        };
        let min_sequence = args.after.min_sequence();
        let request = WaitReplicatedRequest { version_id, replicas: args.replicas, timeout_ms: 0, min_sequence };
        loop {
            match ask(&client, &request).await {
                // The gateway waits for only so long at a time, and may be restarted meanwhile.
                Err(failure) if failure.code == "DEADLINE_EXCEEDED" || failure.is_transient() => {
                    stat::say(context, &last, failure.to_string());
                }
                answer => break answer,
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let answer = context.stop.guard(work).await.map_err(|failure| stat::explain(failure, &last.borrow()))?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::waited(&answer),
        Format::Json => render::json::waited(&answer),
    })
}

async fn ask(client: &Client, request: &WaitReplicatedRequest) -> Result<WaitReplicatedResponse, Failure> {
    let answer = client.files.clone().wait_replicated(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::File))
}
