//! `gateway init`: creates what every other program only verifies. Running it again changes nothing.

mod joining;
mod nodes;

use std::io::Write as _;

use anyhow::{Context as _, bail};
use blobs::Nodes;
use journal::{Change, Journal, Lease, Plan, Report};
use proto::{ClusterId, Event, EventId, Fact, Kind, NodeId, SpaceCreated, SpaceName};
use runtime::program::Process;
use runtime::retry::{Backoff, sleep};
use runtime::shutdown::Cancelled;
use uuid::Uuid;

use crate::config::Config;
use crate::files::SOURCE;
use crate::run::check_secrets;

/// The duty that one `gateway init` does at a time.
const DUTY: &str = "init";

/// Creates the stream, the key-value buckets and the consumers, the nodes' buckets and markers, `NodeJoined` for every
/// node, and the space `main`; prints one line for each, also for what was there.
///
/// It refuses to make a stream while any node carries a marker, since then the journal was lost and must be restored,
/// and it never writes a marker on a node that has joined before.
pub async fn init(config: &Config, process: &Process) -> anyhow::Result<()> {
    check_secrets(config)?;
    let nodes = Nodes::open(&config.nodes, config.blobs.clone(), None, &process.tasks, process.clock.clone()).await?;
    let looked = nodes::look(&nodes, &config.init, &process.shutdown).await?;
    nodes::refuse_strangers(&looked)?;
    let report = make_journal(config, process, &looked).await?;
    print_report(&config.nats.stream, &report)?;

    let journal = Journal::open(&config.nats, &process.shutdown, &process.tasks).await?;
    let lease = take_lease(config, process, &journal).await?;
    let done = async {
        let refused = joining::join_all(&journal, &looked, config, process).await?;
        make_main_space(&journal, process).await?;
        anyhow::Ok(refused)
    };
    let refused = done.await;
    // The next one would otherwise have to wait until it expires; it expires in any case.
    lease.release().await.ok();
    journal.flush().await.ok();
    match refused? {
        0 => Ok(()),
        _ => bail!("some nodes are not part of the cluster; see the lines above"),
    }
}

async fn make_journal(config: &Config, process: &Process, looked: &[nodes::Looked]) -> anyhow::Result<Report> {
    let ids: Vec<NodeId> = config.nodes.iter().map(|node| node.id.clone()).collect();
    let marked = nodes::names(looked, |seen| matches!(seen, nodes::Seen::Marker(_)));
    let silent = nodes::names(looked, |seen| matches!(seen, nodes::Seen::Unreachable(_)));
    // A node that does not answer may carry a marker.
    let maybe_marked: Vec<NodeId> = marked.iter().chain(&silent).cloned().collect();
    let plan = Plan { nodes: &ids, marked: &maybe_marked, ids: &process.ids };
    match journal::init(&config.nats, plan, &process.shutdown).await {
        Err(journal::Error::Lost { stream, .. }) if marked.is_empty() => {
            let silent = silent.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            bail!(
                "the stream {stream} does not exist, and it is made only when no node carries a marker, but {silent} does \
                 not answer; start it and try again"
            );
        }
        made => Ok(made?),
    }
}

/// Waits until no other `gateway init` is at work: two of them could each write a marker on one node.
async fn take_lease(config: &Config, process: &Process, journal: &Journal) -> anyhow::Result<Lease> {
    let holder = process.ids.v4().to_string();
    let mut backoff = Backoff::new(&config.init.retry);
    let mut said = false;
    loop {
        if let Some(lease) = journal.acquire(DUTY, &holder).await? {
            return Ok(lease);
        }
        if !said {
            tracing::info!("waiting for another `gateway init` to end");
            said = true;
        }
        if !sleep(backoff.next_delay(), process.shutdown.soft_token()).await {
            return Err(Cancelled.into());
        }
    }
}

async fn make_main_space(journal: &Journal, process: &Process) -> anyhow::Result<()> {
    let name = SpaceName::main();
    let mut from = 1;
    while let Some(recorded) = journal.next_of(Kind::SpaceCreated, from).await? {
        from = recorded.n + 1;
        if let Ok(Event { fact: Fact::SpaceCreated(created), .. }) = recorded.decode()
            && created.name == name
        {
            return say(&format!("space {name}: already there"));
        }
    }
    let id = event_id(journal.identity().cluster, &format!("space_created/{name}"));
    let n = publish(journal, process, id, Fact::SpaceCreated(SpaceCreated { name: name.clone() })).await?;
    say(&format!("space {name}: created, event {n}"))
}

fn print_report(stream: &str, report: &Report) -> anyhow::Result<()> {
    let cluster = report.identity.cluster;
    say(&format!("stream {stream}: {}, cluster {cluster}", told(&report.stream)))?;
    for (bucket, change) in &report.buckets {
        say(&format!("key-value bucket {}: {}", bucket.as_str(), told(change)))?;
    }
    for (consumer, change) in &report.consumers {
        say(&format!("consumer {consumer}: {}", told(change)))?;
    }
    Ok(())
}

fn told(change: &Change) -> String {
    match change {
        Change::Created => "created".to_owned(),
        Change::Updated(what) => format!("set right ({})", what.join(", ")),
        Change::Unchanged => "already there".to_owned(),
    }
}

/// One line on standard output.
fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("write to standard output")
}

/// The id of an event that a cluster has once: made again, it is the same event.
fn event_id(cluster: ClusterId, what: &str) -> EventId {
    EventId::new(Uuid::new_v5(&cluster.uuid(), what.as_bytes()))
}

async fn publish(journal: &Journal, process: &Process, id: EventId, fact: Fact) -> anyhow::Result<u64> {
    let event = Event::of_system(id, SOURCE, process.clock.now(), fact);
    Ok(journal.publish(&event).await?.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_again_are_the_same() {
        let (one, other) = (ClusterId::new(Uuid::from_u128(1)), ClusterId::new(Uuid::from_u128(2)));
        assert_eq!(event_id(one, "space_created/main"), event_id(one, "space_created/main"));
        assert_ne!(event_id(one, "space_created/main"), event_id(other, "space_created/main"));
        assert_ne!(event_id(one, "space_created/main"), event_id(one, "space_created/mainz"));
    }
}
