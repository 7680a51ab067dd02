use journal::Head;
use proto::{Incarnation, MarkerId, NodeId};
use uuid::Uuid;

use super::*;
use crate::error::{Code, Error};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn seen() -> Seen {
    let transfers = |in_progress, limit| Transfers { in_progress, limit };
    Seen { is_ready: true, uploads: transfers(3, 64), downloads: transfers(0, 32), now: NOW }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// A status without a catalog: the counts of nodes stand for themselves.
fn status(head: Option<Head>, nodes: Vec<NodeStatus>) -> Status {
    let last_head = head.unwrap_or(Head { n: 7, bytes: 70, max_bytes: 700 });
    let journal = JournalStatus { incarnation: Incarnation::new(Uuid::nil()), head, last_head };
    Status { journal: Ok(journal), catalog: Err(Error::new(Code::CatalogUnavailable, "not now")), nodes }
}

/// The samples, without what is said about them.
fn samples(status: &Status) -> Vec<String> {
    let page = page(status, &seen()).unwrap();
    page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn a_page_has_what_is_known_and_nothing_else() {
    let head = Head { n: 42, bytes: 6_000, max_bytes: u64::MAX };
    let known = [
        "highwater_build_info{version=\"0.1.0\"} 1",
        "highwater_catalog_reachable 0",
        "highwater_journal_head_sequence 42",
        "highwater_journal_info{incarnation=\"00000000000000000000000000000000\"} 1",
        "highwater_journal_reachable 1",
        "highwater_journal_used_bytes 6000",
        "highwater_ready 1",
        "highwater_transfers_in_progress{direction=\"download\"} 0",
        "highwater_transfers_in_progress{direction=\"upload\"} 3",
        "highwater_transfers_limit{direction=\"download\"} 32",
        "highwater_transfers_limit{direction=\"upload\"} 64",
    ];
    assert_eq!(samples(&status(Some(head), Vec::new())), known);

    // Of a journal that does not answer not even its last answer is told.
    let silent = samples(&status(None, Vec::new()));
    assert!(silent.contains(&"highwater_journal_reachable 0".to_owned()), "{silent:?}");
    assert_eq!(silent.iter().filter(|line| line.starts_with("highwater_journal_")).count(), 1, "{silent:?}");
    let closed = Status { journal: Err(Error::new(Code::JournalUnavailable, "not yet")), ..status(None, Vec::new()) };
    assert_eq!(samples(&closed), silent);
}

#[test]
fn every_figure_says_what_it_is() {
    let page = page(&status(None, Vec::new()), &seen()).unwrap();
    let ready =
        "# HELP highwater_ready Whether the gateway is ready, as its health says.\n# TYPE highwater_ready gauge\n";
    assert!(page.contains(ready), "{page}");
    let families = |word: &str| page.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!(families("# HELP "), families("# TYPE "));
}

#[test]
fn each_node_has_its_state_and_its_counts() {
    let unavailable = Some(Health::Unavailable { reason: "no \"answer\"".to_owned() });
    let refill = Refill {
        position: 250,
        blobs_copied: 5,
        bytes_copied: 500,
        ..Refill::new(1_000, MarkerId::new(Uuid::nil()), NOW)
    };
    let counted = catalog::NodeStatus {
        node: node("node-b"),
        blobs_stored: 1,
        blobs_pending: 2,
        bytes_pending: 300,
        events_behind: 2,
        oldest_pending_at: Some(NOW - Duration::from_millis(1_500)),
        blobs_parked: 4,
        blobs_lost: 5,
        blobs_erasing: 6,
        eta: Some(Duration::from_secs(90)),
    };
    let lines = samples(&status(
        None,
        vec![
            NodeStatus { health: Some(Health::Healthy), ..NodeStatus::new(node("node-a")) },
            NodeStatus {
                health: unavailable,
                counted: Some(counted),
                refill: Some(refill),
                ..NodeStatus::new(node("node-b"))
            },
            NodeStatus::new(node("node-c")),
        ],
    ));
    let of = |node: &str| -> Vec<&str> {
        let label = format!("node=\"{node}\"");
        let is_one = |line: &&str| line.contains(&label) && !line.ends_with("} 0");
        lines.iter().map(String::as_str).filter(is_one).collect()
    };
    assert_eq!(of("node-a"), ["highwater_node_health{node=\"node-a\",state=\"healthy\"} 1"], "not counted");
    assert_eq!(of("node-c"), ["highwater_node_health{node=\"node-c\",state=\"not_configured\"} 1"]);
    let expected = [
        "highwater_node_blobs_erasing{node=\"node-b\"} 6",
        "highwater_node_blobs_lost{node=\"node-b\"} 5",
        "highwater_node_blobs_parked{node=\"node-b\"} 4",
        "highwater_node_blobs_pending{node=\"node-b\"} 2",
        "highwater_node_blobs_stored{node=\"node-b\"} 1",
        "highwater_node_events_behind{node=\"node-b\"} 2",
        "highwater_node_health{node=\"node-b\",state=\"unavailable\"} 1",
        "highwater_node_oldest_pending_age_seconds{node=\"node-b\"} 1.5",
        "highwater_node_pending_bytes{node=\"node-b\"} 300",
        "highwater_node_pending_eta_seconds{node=\"node-b\"} 90",
        "highwater_node_refill_blobs_copied{node=\"node-b\"} 5",
        "highwater_node_refill_copied_bytes{node=\"node-b\"} 500",
        "highwater_node_refill_progress_ratio{node=\"node-b\"} 0.25",
    ];
    assert_eq!(of("node-b"), expected, "an end of the filling cannot be told yet");
    let states = |node: &str| lines.iter().filter(|line| line.contains("_health{") && line.contains(node)).count();
    assert_eq!([states("node-a"), states("node-b"), states("node-c")], [4, 4, 4]);
}

#[test]
fn a_clock_that_is_behind_makes_no_age_negative() {
    let counted = catalog::NodeStatus {
        node: node("node-a"),
        blobs_stored: 0,
        blobs_pending: 1,
        bytes_pending: 1,
        events_behind: 1,
        oldest_pending_at: Some(NOW + Duration::from_mins(1)),
        blobs_parked: 0,
        blobs_lost: 0,
        blobs_erasing: 0,
        eta: None,
    };
    let lines = samples(&status(None, vec![NodeStatus { counted: Some(counted), ..NodeStatus::new(node("node-a")) }]));
    assert!(lines.contains(&"highwater_node_oldest_pending_age_seconds{node=\"node-a\"} 0".to_owned()), "{lines:?}");
}
