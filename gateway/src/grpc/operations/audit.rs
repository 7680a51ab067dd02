//! The audit as a stream of messages.

use proto::v1;

use crate::error::Result;
use crate::files::{AuditedNode, Difference, Files, Finding, Plan, Said};
use crate::grpc::answer::{Messages, told};

/// Audits, and tells of it until it is done or the client is gone.
pub(super) fn messages(files: &Files, asked: v1::AuditRequest) -> Result<Messages<v1::AuditResponse>> {
    // Before the journal is known there is nothing to compare: said at once, not in the stream.
    files.incarnation()?;
    let plan = Plan {
        is_deep: asked.deep,
        repairs: asked.repair,
        bytes_per_second: None,
        held_blobs: files.limits().audit_held_blobs,
    };
    let auditing = files.clone();
    let work = |sender| async move { auditing.audit(&asked.nodes, plan, &sender).await };
    Ok(told(files, "gateway.audit", work, message))
}

fn message(said: Said) -> v1::AuditResponse {
    use v1::audit_response::Message;
    let message = match said {
        Said::Progress(node) => {
            Some(Message::Progress(v1::AuditProgress { node: node.node, objects: node.objects, bytes: node.bytes }))
        }
        Said::Finding(finding) => Some(Message::Finding(self::finding(finding))),
        Said::Summary(sequence, nodes) => Some(Message::Summary(v1::AuditSummary {
            sequence: sequence.to_string(),
            nodes: nodes.into_iter().map(audited).collect(),
        })),
        // Of use for who goes on later only.
        Said::Done(_) => None,
    };
    v1::AuditResponse { message }
}

fn finding(finding: Finding) -> v1::AuditFinding {
    v1::AuditFinding {
        kind: kind(finding.difference).into(),
        node: finding.node.to_string(),
        key: finding.key,
        blob_id: finding.blob_id.map(|id| id.to_string()).unwrap_or_default(),
        detail: finding.detail,
        repaired_by: finding.repaired_by.map(|sequence| sequence.to_string()).unwrap_or_default(),
    }
}

fn audited(node: AuditedNode) -> v1::AuditedNode {
    v1::AuditedNode {
        node: node.node,
        objects: node.objects,
        bytes: node.bytes,
        findings: node.findings,
        repaired: node.repaired,
        error: node.error.unwrap_or_default(),
    }
}

const fn kind(difference: Difference) -> v1::AuditKind {
    match difference {
        Difference::Missing => v1::AuditKind::Missing,
        Difference::Truncated => v1::AuditKind::Truncated,
        Difference::Corrupt => v1::AuditKind::Corrupt,
        Difference::Parts => v1::AuditKind::Parts,
        Difference::Resurrected => v1::AuditKind::Resurrected,
        Difference::Orphan => v1::AuditKind::Orphan,
        Difference::Foreign => v1::AuditKind::Foreign,
        Difference::Unreported => v1::AuditKind::Unreported,
        Difference::Recoverable => v1::AuditKind::Recoverable,
    }
}
