use proto::v1;

use super::{at, receipt, sequence, version};

pub(in crate::render) fn spaces() -> Vec<v1::Space> {
    let space = |name: &str, n, keep_versions, keep_days| v1::Space {
        space_id: "2d9c5020-46e3-5c77-9f5d-7c203e4f5061".to_owned(),
        name: name.to_owned(),
        created_sequence: sequence(n),
        retention: Some(v1::Retention { keep_versions, keep_days }),
        ..Default::default()
    };
    vec![
        v1::Space { retention: None, ..space("main", 2, None, None) },
        space("photos", 5, Some(1), None),
        space("scratch", 6, None, Some(30)),
        space("work", 7, Some(10), Some(1)),
    ]
}

pub(in crate::render) fn deleted_spaces() -> Vec<v1::Space> {
    spaces()
        .into_iter()
        .skip(2)
        .map(|space| v1::Space {
            deleted_sequence: sequence(9),
            deleted_at: Some(at(0)),
            deleted_by: "alice".to_owned(),
            ..space
        })
        .collect()
}

pub(in crate::render) fn pruned() -> v1::PruneResponse {
    let version = v1::PrunedVersion {
        path: "docs/a.txt".to_owned(),
        file_id: receipt().file_id,
        version_id: version().version_id,
        size_bytes: 4096,
        created_at: Some(at(0)),
        because: "the file has more than 10 versions".to_owned(),
    };
    v1::PruneResponse { versions: 312, bytes: 1_288_490_189, pruned: vec![version], receipts: vec![receipt()] }
}
