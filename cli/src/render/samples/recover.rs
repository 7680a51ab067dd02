use proto::v1::{RecoverState, RecoverSummary, RecoveredBlob};

use super::{at, receipt, sequence};

pub(in crate::render) fn recovered() -> Vec<RecoveredBlob> {
    let receipt = receipt();
    let offered = RecoveredBlob {
        blob_id: receipt.blob_id.clone(),
        state: RecoverState::Offered.into(),
        size_bytes: receipt.size_bytes,
        uploaded_at: Some(at(0)),
        nodes: vec!["node-a".to_owned(), "node-c".to_owned()],
        space: "main".to_owned(),
        path: format!("recovered/{}", receipt.blob_id),
        ..RecoveredBlob::default()
    };
    let recovered = RecoveredBlob {
        state: RecoverState::Recovered.into(),
        version_id: receipt.version_id,
        sequence: sequence(31),
        ..offered.clone()
    };
    let nowhere = RecoveredBlob { space: String::new(), path: String::new(), ..offered.clone() };
    let erased = RecoveredBlob { state: RecoverState::Erased.into(), sequence: sequence(32), ..nowhere.clone() };
    let refused = RecoveredBlob {
        state: RecoverState::Refused.into(),
        size_bytes: 0,
        nodes: Vec::new(),
        reason: "blob_not_found".to_owned(),
        detail: "no node that was looked at has it".to_owned(),
        ..nowhere
    };
    vec![offered, recovered, erased, refused]
}

pub(in crate::render) fn recovery() -> RecoverSummary {
    RecoverSummary {
        sequence: sequence(40),
        objects: 1204,
        offered: 0,
        recovered: 1,
        erased: 1,
        refused: 1,
        left_out: 2,
    }
}
