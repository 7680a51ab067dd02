use proto::{ClusterId, MarkerId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;

fn breaker() -> Breaker {
    let breaker = Breaker::new("node-a".parse().unwrap(), 3);
    breaker.found(Ok(Some(marker(1))));
    breaker
}

fn marker(n: u128) -> Marker {
    Marker {
        cluster_id: ClusterId::new(Uuid::from_u128(9)),
        node_id: "node-a".parse().unwrap(),
        marker_id: MarkerId::new(Uuid::from_u128(n)),
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn fault(fault: NodeFault) -> Result<(), Error> {
    Err(Error::node(&"node-a".parse().unwrap(), fault, "does not work"))
}

#[test]
fn faults_in_a_row_open_it_and_a_success_between_them_does_not_let_them() {
    let breaker = breaker();
    for _ in 0..2 {
        breaker.record(Kind::Write, &fault(NodeFault::Broken));
    }
    breaker.record(Kind::Write, &Ok(()));
    for _ in 0..2 {
        breaker.record(Kind::Write, &fault(NodeFault::Broken));
    }
    assert!(breaker.health().is_healthy());
    breaker.record(Kind::Write, &fault(NodeFault::Broken));
    assert_eq!(breaker.health(), Health::Unavailable { reason: "does not work".to_owned() });
}

#[test]
fn a_refused_request_is_no_fault_of_the_node() {
    let breaker = breaker();
    let refused = Error::Refused { node: "node-a".parse().unwrap(), key: "k".into(), status: 400, reason: "no".into() };
    for _ in 0..5 {
        breaker.record::<()>(Kind::Write, &Err(refused.clone()));
    }
    assert!(breaker.health().is_healthy());
}

#[test]
fn a_full_node_can_still_be_read() {
    let breaker = breaker();
    for _ in 0..3 {
        breaker.record(Kind::Write, &fault(NodeFault::Full));
        breaker.record(Kind::Read, &Ok(()));
    }
    assert!(!breaker.health().is_healthy());
    assert!(breaker.is_readable());
}

#[test]
fn an_unreachable_node_can_neither_be_read_nor_written() {
    let breaker = breaker();
    for _ in 0..3 {
        breaker.record(Kind::Write, &fault(NodeFault::Unreachable));
    }
    assert!(!breaker.is_readable());
}

#[test]
fn a_good_look_closes_it_and_one_more_fault_opens_it_again() {
    let breaker = breaker();
    for _ in 0..3 {
        breaker.record(Kind::Write, &fault(NodeFault::Broken));
    }
    assert!(breaker.take_proven());
    breaker.found(Ok(Some(marker(1))));
    assert!(breaker.health().is_healthy());
    breaker.record(Kind::Write, &fault(NodeFault::Broken));
    assert!(!breaker.health().is_healthy());
    assert!(!breaker.take_proven(), "no operation went well, so the delays go on growing");
}

#[test]
fn a_node_that_was_never_reached_is_unavailable_at_once() {
    let breaker = Breaker::new("node-a".parse().unwrap(), 3);
    breaker.unreachable(NodeFault::Unreachable, "cannot be reached");
    assert!(!breaker.health().is_healthy());
    assert_eq!(breaker.marker(), None);
}

#[test]
fn a_wrong_marker_beats_all_and_a_right_one_heals() {
    let breaker = breaker();
    breaker.found(Err("has no marker".to_owned()));
    assert_eq!(breaker.health(), Health::WrongMarker { reason: "has no marker".to_owned() });
    assert!(!breaker.is_readable());
    assert_eq!(breaker.marker(), None);
    breaker.found(Ok(Some(marker(2))));
    assert!(breaker.health().is_healthy());
    assert_eq!(breaker.marker(), Some(marker(2)));
}

#[tokio::test]
async fn who_waits_for_it_to_open_is_told() {
    let breaker = breaker();
    for _ in 0..3 {
        breaker.record(Kind::Read, &fault(NodeFault::Timeout));
    }
    breaker.opened().await;
}
