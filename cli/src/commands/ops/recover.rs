//! `highwater ops recover`.

use proto::v1::recover_response::Message;
use proto::v1::{RecoverRequest, RecoverSummary};
use tonic::Code;

use crate::args::OpsRecover;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::progress::Progress;
use crate::render;

/// Shows what becomes of each blob as it is decided, and then how much that was.
pub(super) async fn run(context: &Context, args: OpsRecover) -> Result<(), Failure> {
    let request = RecoverRequest {
        recover: args.all || !args.blobs.is_empty(),
        blob_ids: args.blobs.iter().map(ToString::to_string).collect(),
        nodes: args.nodes.iter().map(ToString::to_string).collect(),
        actor: context.actor(),
    };
    let is_done = request.recover;
    let failed = |status| Failure::from_status(&status, Sought::Other);
    let mut client = context.connect().await?;
    let mut stream = client.operations.recover(request).await.map_err(failed)?.into_inner();
    let progress = Progress::start(context.output, "recovering", None);
    let (mut bytes, mut summary) = (0, None);
    while let Some(answer) = stream.message().await.map_err(failed)? {
        match answer.message {
            Some(Message::Progress(now)) => {
                progress.add(now.bytes.saturating_sub(bytes));
                bytes = now.bytes;
            }
            Some(Message::Blob(blob)) => {
                let line = match context.output.format {
                    Format::Text => render::text::recovered(&blob),
                    Format::Json => render::json::recovered(&blob),
                };
                progress.aside(|| context.output.print(&line))?;
            }
            Some(Message::Summary(last)) => summary = Some(last),
            // Something that a newer gateway says.
            None => {}
        }
    }
    progress.end();
    let Some(summary) = summary else {
        return Err(Failure::connection_lost("the gateway ended the recovering in its middle"));
    };
    context.output.print(&match context.output.format {
        Format::Text => render::text::recovery(&summary),
        Format::Json => render::json::recovery(&summary),
    })?;
    end(&summary, is_done)
}

/// How it ended as a whole.
fn end(summary: &RecoverSummary, is_done: bool) -> Result<(), Failure> {
    let left = match summary.refused {
        0 => return Ok(()),
        _ if !is_done => return Ok(()),
        1 => "1 blob was not recovered".to_owned(),
        refused => format!("{refused} blobs were not recovered"),
    };
    Err(Failure::new(Exit::Other, Code::FailedPrecondition, "not_recovered", left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_shown_is_no_failure() {
        let summary = RecoverSummary { refused: 2, ..RecoverSummary::default() };
        assert_eq!(end(&summary, false), Ok(()));
        assert_eq!(end(&summary, true).unwrap_err().message, "2 blobs were not recovered");
        assert_eq!(end(&RecoverSummary { recovered: 3, ..RecoverSummary::default() }, true), Ok(()));
    }
}
