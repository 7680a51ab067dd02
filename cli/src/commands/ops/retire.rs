//! `highwater ops retire`.

use std::cell::RefCell;
use std::time::Duration;

use proto::v1::{RetireNodeRequest, RetireNodeResponse};
use runtime::retry::Transient as _;
use tonic::{Code, Response};

use crate::args::OpsRetire;
use crate::client::Client;
use crate::commands::again::again;
use crate::commands::{Context, change, stat};
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::render;

/// How often it asks again while something is only there. The gateways forget that the node is to be retired when nobody
/// asks for a minute.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Retires a node, or says what is waited for.
pub(super) async fn run(context: &Context, args: OpsRetire) -> Result<(), Failure> {
    let node = args.node.to_string();
    let (request_id, actor) = (change::request_id(&args.change), context.actor());
    let request = RetireNodeRequest { node: node.clone(), request_id, actor };
    let last = RefCell::new(String::new());
    let work = async {
        let client = context.connect().await?;
        loop {
            match again(context, args.change.retry_for, || ask(&client, &request)).await {
                Ok(answer) if answer.waiting_for.is_empty() => break Ok(answer),
                Ok(answer) if args.wait => {
                    stat::say(context, &last, format!("waiting for {}", answer.waiting_for));
                }
                Ok(answer) => break Err(not_yet(&node, &answer)),
                // A gateway that is restarted meanwhile is worth waiting for too.
                Err(failure) if args.wait && failure.is_transient() => stat::say(context, &last, failure.to_string()),
                Err(failure) => break Err(failure),
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let answer = context.stop.guard(work).await.map_err(|failure| stat::explain(failure, &last.borrow()))?;
    context.output.print(&match context.output.format {
        Format::Text => render::text::retired(&node, &answer),
        Format::Json => render::json::retired(&answer),
    })
}

fn not_yet(node: &str, answer: &RetireNodeResponse) -> Failure {
    let message = format!("{node} cannot be taken out yet: {}; --wait asks again until it can", answer.waiting_for);
    Failure::new(Exit::Temporary, Code::Unavailable, "node_in_use", message)
}

async fn ask(client: &Client, request: &RetireNodeRequest) -> Result<RetireNodeResponse, Failure> {
    let answer = client.operations.clone().retire_node(request.clone()).await;
    answer.map(Response::into_inner).map_err(|status| Failure::from_status(&status, Sought::Other))
}
