//! What an audit found.

use proto::v1;

use super::{number, table};
use crate::render::{audit_kind, plain, size};

/// A difference in one line.
pub(crate) fn finding(finding: &v1::AuditFinding) -> String {
    let (kind, key, detail) = (audit_kind(finding.kind).to_uppercase(), plain(&finding.key), plain(&finding.detail));
    let repaired = match finding.repaired_by.as_str() {
        "" => String::new(),
        sequence => format!("; event {} has it repaired", number(sequence)),
    };
    format!("{kind:<11}  {}  {key}  {detail}{repaired}\n", plain(&finding.node))
}

/// How each node stands.
pub(crate) fn audited(summary: &v1::AuditSummary) -> String {
    let rows = summary.nodes.iter().map(|node| {
        let counts = [node.objects.to_string(), size(node.bytes), node.findings.to_string(), node.repaired.to_string()];
        let [objects, bytes, findings, repaired] = counts;
        [plain(&node.node).into_owned(), objects, bytes, findings, repaired, plain(&node.error).into_owned()]
    });
    table(["NODE", "OBJECTS", "BYTES", "FINDINGS", "REPAIRED", "ERROR"], rows, &[1, 2, 3, 4])
}
