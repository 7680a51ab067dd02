//! `highwater ops audit`.

use proto::v1::audit_response::Message;
use proto::v1::{AuditKind, AuditRequest, AuditSummary};
use tonic::Code;

use crate::args::OpsAudit;
use crate::commands::Context;
use crate::exit::{Exit, Failure, Sought};
use crate::output::Format;
use crate::progress::Progress;
use crate::render;

/// Shows differences as they are found, and then how each node stands.
pub(super) async fn run(context: &Context, args: OpsAudit) -> Result<(), Failure> {
    let request = AuditRequest {
        nodes: args.nodes.iter().map(ToString::to_string).collect(),
        deep: args.deep,
        repair: args.repair,
    };
    let failed = |status| Failure::from_status(&status, Sought::Other);
    let mut client = context.connect().await?;
    let mut stream = client.operations.audit(request).await.map_err(failed)?.into_inner();
    let progress = Progress::start(context.output, "auditing", None);
    let (mut done, mut left, mut summary) = (Done::default(), 0_u64, None);
    while let Some(answer) = stream.message().await.map_err(failed)? {
        match answer.message {
            Some(Message::Progress(now)) => progress.add(done.further(&now.node, now.bytes)),
            Some(Message::Finding(finding)) => {
                let is_information = matches!(finding.kind(), AuditKind::Foreign | AuditKind::Unreported);
                left += u64::from(finding.repaired_by.is_empty() && !is_information);
                let line = match context.output.format {
                    Format::Text => render::text::finding(&finding),
                    Format::Json => render::json::finding(&finding),
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
        return Err(Failure::connection_lost("the gateway ended the audit in its middle"));
    };
    context.output.print(&match context.output.format {
        Format::Text => render::text::audited(&summary),
        Format::Json => render::json::audited(&summary),
    })?;
    end(&summary, left)
}

/// How the audit as a whole ended.
fn end(summary: &AuditSummary, left: u64) -> Result<(), Failure> {
    if left > 0 {
        let message =
            if left == 1 { "1 difference is left".to_owned() } else { format!("{left} differences are left") };
        return Err(Failure::new(Exit::Other, Code::FailedPrecondition, "differences_left", message));
    }
    let failed: Vec<&str> =
        summary.nodes.iter().filter(|node| !node.error.is_empty()).map(|node| node.node.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!("not audited to the end: {}", failed.join(", "));
    Err(Failure::new(Exit::Temporary, Code::Unavailable, "node_not_audited", message))
}

/// How far the node that is under way is.
#[derive(Default)]
struct Done {
    node: String,
    bytes: u64,
}

// === impl Done ===

impl Done {
    /// How many bytes more these are, by one node and the next.
    fn further(&mut self, node: &str, bytes: u64) -> u64 {
        let before = if self.node == node { self.bytes } else { 0 };
        *self = Self { node: node.to_owned(), bytes };
        bytes.saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::AuditedNode;

    use super::*;

    #[test]
    fn progress_adds_up_over_the_nodes() {
        let mut done = Done::default();
        let told = [("node-a", 10), ("node-a", 30), ("node-b", 5), ("node-b", 5)];
        assert_eq!(told.map(|(node, bytes)| done.further(node, bytes)), [10, 20, 5, 0]);
    }

    #[test]
    fn what_is_left_counts_more_than_a_node_that_is_away() {
        let node =
            |error: &str| AuditedNode { node: "node-a".to_owned(), error: error.to_owned(), ..Default::default() };
        let summary = |error| AuditSummary { nodes: vec![node(error)], ..Default::default() };
        assert_eq!(end(&summary(""), 0), Ok(()));
        assert_eq!(end(&summary("is down"), 1).unwrap_err().exit, Exit::Other);
        let failure = end(&summary("is down"), 0).unwrap_err();
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Temporary, "not audited to the end: node-a"));
    }
}
