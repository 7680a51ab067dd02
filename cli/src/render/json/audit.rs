//! What an audit found.

use proto::v1;
use serde::Serialize;

use super::line;
use crate::render::audit_kind;

/// A difference.
pub(crate) fn finding(finding: &v1::AuditFinding) -> String {
    line(&Finding {
        kind: audit_kind(finding.kind),
        node: &finding.node,
        key: &finding.key,
        blob_id: (!finding.blob_id.is_empty()).then_some(&finding.blob_id),
        detail: &finding.detail,
        repaired_by: (!finding.repaired_by.is_empty()).then_some(&finding.repaired_by),
    })
}

/// How each node stands.
pub(crate) fn audited(summary: &v1::AuditSummary) -> String {
    let nodes = summary.nodes.iter().map(|node| Node {
        node: &node.node,
        objects: node.objects,
        bytes: node.bytes,
        findings: node.findings,
        repaired: node.repaired,
        error: (!node.error.is_empty()).then_some(&node.error),
    });
    line(&Summary { sequence: &summary.sequence, nodes: nodes.collect() })
}

#[derive(Serialize)]
struct Finding<'a> {
    kind: String,
    node: &'a str,
    key: &'a str,
    blob_id: Option<&'a String>,
    detail: &'a str,
    repaired_by: Option<&'a String>,
}

#[derive(Serialize)]
struct Summary<'a> {
    sequence: &'a str,
    nodes: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    node: &'a str,
    objects: u64,
    bytes: u64,
    findings: u64,
    repaired: u64,
    error: Option<&'a String>,
}
