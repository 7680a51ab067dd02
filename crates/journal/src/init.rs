//! Making what the journal needs: the stream, the buckets, the consumers. Idempotent, and safe to run twice at once.

use std::collections::HashSet;

use async_nats::jetstream::{consumer, stream};
use proto::{ClusterId, Incarnation, NodeId};
use runtime::clock::Ids;
use runtime::retry::Transient as _;
use runtime::shutdown::Shutdown;
use runtime::wait_for;

use crate::config::Config;
use crate::error::Error;
use crate::journal::{Identity, connect};
use crate::kv::BucketName;
use crate::layout;
use crate::link::{Link, refusal};
use crate::names::{ConsumerName, Lane, consumer_name};
use crate::safety;

/// The server's error code for a stream that exists with another configuration.
const STREAM_EXISTS: u64 = 10058;

/// What to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The nodes, each of which gets a consumer in each lane.
    pub nodes: &'a [NodeId],
    /// Those of them whose buckets carry a marker: then a missing stream is a lost one.
    pub marked: &'a [NodeId],
    /// Where the ids of a new journal come from.
    pub ids: &'a Ids,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The journal that is there now.
    pub identity: Identity,
    /// The stream.
    pub stream: Change,
    /// Every bucket.
    pub buckets: Vec<(BucketName, Change)>,
    /// Every consumer.
    pub consumers: Vec<(ConsumerName, Change)>,
}

/// What became of one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It did not exist.
    Created,
    /// It existed and differed so.
    Updated(Vec<String>),
    /// It was as it must be.
    Unchanged,
}

/// Makes what is missing and sets right what may be set right: consumers, buckets and a larger size of the stream. A
/// stream that differs otherwise is refused ([`Error::Unsafe`]), and none is made while nodes carry markers
/// ([`Error::Lost`]). Waits while NATS is down.
pub async fn init(config: &Config, plan: Plan<'_>, shutdown: &Shutdown) -> Result<Report, Error> {
    distinct_consumers(plan.nodes)?;
    let link = connect(config, shutdown).await?;
    let what = format!("JetStream on NATS at {}", config.servers_shown());
    let cancel = shutdown.soft_token();
    let run = async || {
        let (stream, identity) = make_stream(&link, config, plan).await?;
        let mut report = Report { identity, stream, buckets: Vec::new(), consumers: Vec::new() };
        for bucket in BucketName::ALL {
            report.buckets.push((bucket, make_bucket(&link, config, bucket).await?));
        }
        for node in plan.nodes {
            for lane in Lane::ALL {
                let name = consumer_name(node, lane);
                let change = make_consumer(&link, config, &name).await?;
                report.consumers.push((name, change));
            }
        }
        Ok(report)
    };
    let report = wait_for(&what, &config.patience(), cancel, run).await;
    report.map_err(|stopped| stopped.into_error(Error::Cancelled))
}

/// `a` in the large lane has the same consumer as a node called `a-large` in the small one.
fn distinct_consumers(nodes: &[NodeId]) -> Result<(), Error> {
    let mut names = HashSet::new();
    for node in nodes {
        for name in Lane::ALL.map(|lane| consumer_name(node, lane)) {
            if !names.insert(name.to_string()) {
                let reason = format!("two nodes would share the consumer {name}: give one of them another id");
                return Err(Error::refused("make the consumers", &reason));
            }
        }
    }
    Ok(())
}

async fn make_stream(link: &Link, config: &Config, plan: Plan<'_>) -> Result<(Change, Identity), Error> {
    let info = match link.stream(&config.stream).await {
        Ok(info) => info,
        Err(Error::Missing { .. }) => {
            let faults = safety::server_faults(link, config, None).await?;
            if !faults.is_empty() {
                return Err(Error::Unsafe(faults));
            }
            if let Some(created) = create_stream(link, config, plan).await? {
                return Ok((Change::Created, created));
            }
            // Somebody else made it at the same moment, with ids of its own.
            link.stream(&config.stream).await?
        }
        Err(error) => return Err(error),
    };
    let mut faults = safety::server_faults(link, config, Some(&info)).await?;
    let (change, found) = enlarge(link, config, info.config).await?;
    faults.extend(safety::stream_faults(config, &found));
    match layout::identity(&found) {
        Ok(identity) if faults.is_empty() => Ok((change, identity)),
        _ => Err(Error::Unsafe(faults)),
    }
}

/// `None` when it exists already.
async fn create_stream(link: &Link, config: &Config, plan: Plan<'_>) -> Result<Option<Identity>, Error> {
    if !plan.marked.is_empty() {
        let nodes = plan.marked.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Error::Lost { stream: config.stream.clone(), nodes });
    }
    let identity = Identity { incarnation: Incarnation::new(plan.ids.v4()), cluster: ClusterId::new(plan.ids.v4()) };
    let wanted = layout::stream(config, identity);
    let created = link.ask::<stream::Info>(format!("STREAM.CREATE.{}", config.stream), &wanted).await?;
    match created {
        Ok(_) => Ok(Some(identity)),
        Err(error) if error.error_code().0 == STREAM_EXISTS => Ok(None),
        Err(error) => Err(refusal(format!("make the stream {}", config.stream), &error)),
    }
}

/// Gives a stream more room, the one change that can do no harm, if nothing else is wrong with it.
async fn enlarge(link: &Link, config: &Config, found: stream::Config) -> Result<(Change, stream::Config), Error> {
    let drift = layout::stream_drift(config, &found);
    let wanted = i64::try_from(config.max_bytes).unwrap_or(i64::MAX);
    if drift.len() != 1 || found.max_bytes <= 0 || found.max_bytes >= wanted || layout::identity(&found).is_err() {
        return Ok((Change::Unchanged, found));
    }
    let larger = stream::Config { max_bytes: wanted, ..found };
    let answer = link.ask::<stream::Info>(format!("STREAM.UPDATE.{}", config.stream), &larger).await?;
    let info = answer.map_err(|error| refusal(format!("enlarge the stream {}", config.stream), &error))?;
    Ok((Change::Updated(drift), info.config))
}

async fn make_bucket(link: &Link, config: &Config, bucket: BucketName) -> Result<Change, Error> {
    let wanted = bucket.config(config);
    let change = match link.stream(&format!("KV_{}", bucket.as_str())).await {
        Err(Error::Missing { .. }) => Change::Created,
        Err(error) => return Err(error),
        Ok(info)
            if info.config.max_age == wanted.max_age
                && info.config.num_replicas >= wanted.num_replicas
                && info.config.max_bytes >= wanted.max_bytes =>
        {
            return Ok(Change::Unchanged);
        }
        Ok(info) => Change::Updated(vec![
            format!("max_age was {:?} instead of {:?}", info.config.max_age, wanted.max_age),
            format!("num_replicas was {} and must be at least {}", info.config.num_replicas, wanted.num_replicas),
            format!("max_bytes was {} and must be at least {}", info.config.max_bytes, wanted.max_bytes),
        ]),
    };
    link.put_bucket(wanted).await?;
    Ok(change)
}

/// Changing a consumer leaves alone what it has delivered and what was acknowledged: it goes on where it was.
async fn make_consumer(link: &Link, config: &Config, name: &ConsumerName) -> Result<Change, Error> {
    let wanted = layout::consumer(config, name);
    let change = match link.consumer(&config.stream, name.as_str()).await {
        Err(Error::Missing { .. }) => Change::Created,
        Err(error) => return Err(error),
        Ok(info) => match layout::consumer_drift(&wanted, &info.config) {
            drift if drift.is_empty() => return Ok(Change::Unchanged),
            drift => Change::Updated(drift),
        },
    };
    match (link.put_consumer(&config.stream, &wanted).await, change) {
        (Ok(info), change) => settled(name, &wanted, &info.config, change),
        (Err(error), Change::Updated(drift)) if !error.is_transient() => {
            let reason = format!(
                "{}, and the server does not change that ({error}): delete the consumer and run `gateway init` again; its work is then looked at once more, which is harmless",
                drift.join(", ")
            );
            Err(Error::refused(format!("set the consumer {name} right"), &reason))
        }
        (Err(error), _) => Err(error),
    }
}

/// The server's own word on what it made.
fn settled(
    name: &ConsumerName,
    wanted: &consumer::pull::Config,
    found: &consumer::Config,
    change: Change,
) -> Result<Change, Error> {
    match layout::consumer_drift(wanted, found) {
        left if left.is_empty() => Ok(change),
        left => Err(Error::refused(format!("set the consumer {name} right"), &left.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_whose_consumers_would_be_the_same_are_refused() {
        let nodes: Vec<NodeId> = ["a", "a-large"].map(|id| id.parse().unwrap()).to_vec();
        let refused = distinct_consumers(&nodes).unwrap_err().to_string();
        assert!(refused.contains("two nodes would share the consumer replicator-a-large"), "{refused}");
        assert!(distinct_consumers(&nodes[..1]).is_ok());
    }
}
