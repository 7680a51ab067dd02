use catalog::{Checkpoint, TableCount};
use proto::{Incarnation, Sha256Digest};
use uuid::Uuid;

use super::*;

fn found(differing: u64) -> Compared {
    let at = Checkpoint { n: 7, ..Checkpoint::start(Incarnation::new(Uuid::nil())) };
    let difference = Difference {
        table: "replicas".to_owned(),
        key: "b / node-a".to_owned(),
        left: Some(r#"{"state":"pending"}"#.to_owned()),
        right: None,
        events: vec![2, 5],
        more_events: true,
    };
    let same = Sha256Digest::new([1; 32]);
    Compared {
        at,
        tables: vec![TableCount { table: "replicas".to_owned(), rows: 3, differing }],
        digest_live: same,
        digest_rebuilt: if differing > 0 { Sha256Digest::new([2; 32]) } else { same },
        differences: if differing > 0 { vec![difference] } else { Vec::new() },
    }
}

#[test]
fn a_difference_as_json() {
    let report: Value = serde_json::from_str(&compared(&found(1), true)).unwrap();
    assert_eq!(
        report,
        serde_json::json!({
            "sequence": "00000000000000000000000000000000-7",
            "equal": false,
            "rows": 3,
            "differing": 1,
            "tables": [{"table": "replicas", "rows": 3, "differing": 1}],
            "digest_live": "01".repeat(32),
            "digest_rebuilt": "02".repeat(32),
            "differences": [
                {"table": "replicas", "key": "b / node-a", "live": {"state": "pending"}, "rebuilt": null,
                 "events": ["00000000000000000000000000000000-2", "00000000000000000000000000000000-5"],
                 "more_events": true},
            ],
        })
    );
}

#[test]
fn words_for_people() {
    let text = compared(&found(0), false);
    assert!(text.starts_with("equal: the catalog is what the journal says up to event 7; 3 rows compared\n"), "{text}");
    let text = compared(&found(1), false);
    let expected = "replicas b / node-a\n  live    {\"state\":\"pending\"}\n  rebuilt no such row\n  events  ..., 2, 5\ndifferent: 1 of 3 rows";
    assert!(text.starts_with(expected), "{text}");
}
