use proto::v1;

use super::sequence;

pub(in crate::render) fn findings() -> Vec<v1::AuditFinding> {
    let blob_id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let missing = v1::AuditFinding {
        kind: v1::AuditKind::Missing.into(),
        node: "node-b".to_owned(),
        key: format!("blobs/57/{blob_id}"),
        blob_id: blob_id.to_owned(),
        detail: "the node does not have it".to_owned(),
        repaired_by: sequence(9),
    };
    let foreign = v1::AuditFinding {
        kind: v1::AuditKind::Foreign.into(),
        key: "read\x1bme.txt".to_owned(),
        blob_id: String::new(),
        detail: "the key is none of Highwater's".to_owned(),
        repaired_by: String::new(),
        ..missing.clone()
    };
    vec![missing, foreign]
}

pub(in crate::render) fn audited() -> v1::AuditSummary {
    let good = v1::AuditedNode {
        node: "node-a".to_owned(),
        objects: 1204,
        bytes: 4 << 30,
        findings: 0,
        repaired: 0,
        error: String::new(),
    };
    let bad = v1::AuditedNode { node: "node-b".to_owned(), findings: 2, repaired: 1, ..good.clone() };
    let away = v1::AuditedNode { node: "node-c".to_owned(), error: "has no marker".to_owned(), ..Default::default() };
    v1::AuditSummary { sequence: sequence(12), nodes: vec![good, bad, away] }
}
