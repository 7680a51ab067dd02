//! Which disks nodes have, and how far they are filled.

use std::sync::Arc;

use anyhow::Result;
use journal::{Disk, Markers, Refill};
use proto::{Actor, Event, Fact, MarkerId, NodeJoined, NodeWiped, RULES};
use time::OffsetDateTime;

use crate::bench::{Bench, node};

fn event(bench: &Bench, fact: Fact) -> Event {
    Event {
        id: bench.event_id(),
        source: "/highwater/test".to_owned(),
        time: OffsetDateTime::UNIX_EPOCH,
        actor: Actor::system(),
        request_id: None,
        fingerprint: None,
        rules: RULES,
        fact,
    }
}

fn refill(cause: u64) -> Refill {
    let marker_id = "00000000-0000-4000-8000-000000000001".parse().unwrap();
    Refill::new(cause, marker_id, OffsetDateTime::UNIX_EPOCH)
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_follow_the_journal() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    let markers = Arc::new(Markers::new(journal.clone()));
    markers.refresh().await?;
    assert_eq!(markers.get(&node()), None);
    let [first, second] = [(); 2].map(|()| MarkerId::new(bench.ids.v4()));
    journal.publish(&bench.upload(1)).await?;
    let fact = NodeJoined { node: node(), marker_id: first, endpoint: "http://a".to_owned(), bucket: "b".to_owned() };
    let joined = journal.publish(&event(&bench, Fact::NodeJoined(fact))).await?.n;
    journal.publish(&bench.upload(2)).await?;
    assert_eq!(markers.other(&node(), second).await, None, "what is not known yet is no objection");
    markers.refresh().await?;
    assert_eq!(markers.get(&node()), Some(Disk { marker_id: first, since: joined, joined, takes_earlier: true }));
    assert_eq!(markers.other(&node(), second).await, Some(first));

    let wiped = NodeWiped { node: node(), old_marker_id: first, marker_id: second };
    let since = journal.publish(&event(&bench, Fact::NodeWiped(wiped))).await?.n;
    // Asked before an objection is made.
    assert_eq!(markers.judge()(node(), second).await, None);
    assert_eq!(markers.get(&node()), Some(Disk { marker_id: second, since, joined, takes_earlier: true }));
    let later = Markers::new(journal);
    later.refresh().await?;
    assert_eq!(later.get(&node()), Some(Disk { marker_id: second, since, joined, takes_earlier: true }));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_refill_takes_the_place_of_an_older_one() -> Result<()> {
    let bench = Bench::start().await?;
    let journal = bench.open().await?;
    assert_eq!(journal.refill(&node()).await?, None);
    assert!(journal.begin_refill(&node(), &refill(7)).await?);
    assert!(!journal.begin_refill(&node(), &refill(7)).await?);
    assert!(!journal.begin_refill(&node(), &refill(3)).await?);
    let saved = journal.refill(&node()).await?.unwrap();
    assert_eq!(saved.refill, refill(7));
    let half = Refill { position: 4, ..saved.refill };
    let revision = journal.save_refill(&node(), &half, saved.revision).await?.unwrap();
    assert_eq!(journal.refill(&node()).await?.unwrap().refill, half);

    assert!(journal.begin_refill(&node(), &refill(9)).await?);
    assert_eq!(journal.save_refill(&node(), &Refill { position: 6, ..half }, revision).await?, None);
    assert_eq!(journal.refill(&node()).await?.unwrap().refill, refill(9));
    Ok(())
}
