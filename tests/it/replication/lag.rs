//! The figures about what nodes lack are those that a recount of the journal gives.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use proto::v1::GetStatusResponse;
use proto::{BlobId, Fact, NodeId, Recorded, Sequence};
use runtime::clock::Clock;
use tests::{Cluster, Content, eventually, run, signal};
use time::OffsetDateTime;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::s3;

const STREAM: &str = "HIGHWATER";

/// A status that is watched is shown every second.
const SAID_WITHIN: Duration = Duration::from_mins(1);

/// How far back it is looked for how fast backlogs shrink.
const ETA_WINDOW: Duration = Duration::from_secs(2);

/// What one node has and lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Counted {
    stored: u64,
    pending: u64,
    lost: u64,
    events_behind: u64,
    bytes_pending: u64,
    oldest_pending_at: Option<OffsetDateTime>,
}

/// Everything in the journal.
async fn journal(cluster: &Cluster) -> anyhow::Result<Vec<Recorded>> {
    let jetstream = jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
    let mut stream = jetstream.get_stream(STREAM).await?;
    let last = stream.info().await?.state.last_sequence;
    let mut all = Vec::new();
    for n in 1..=last {
        let message = stream.get_raw_message(n).await?;
        let (subject, message_id) = (message.subject.to_string(), String::new());
        all.push(Recorded { n, subject, message_id, payload: message.payload });
    }
    Ok(all)
}

/// How a copy stands after the events so far.
#[derive(Clone, Copy)]
enum Copied {
    /// By the event with the first number, as the one with the second asked for.
    Stored(u64, u64),
    /// Since the event with this number.
    Pending(u64),
    /// Reported by the event with this number.
    Lost(u64),
}

/// What events leave the nodes with.
#[derive(Default)]
struct After {
    nodes: Vec<NodeId>,
    blobs: BTreeMap<BlobId, (u64, OffsetDateTime)>,
    copies: BTreeMap<(BlobId, NodeId), Copied>,
}

/// Counts by hand, with none of the fold's code, what events up to `n` leave each node with. They are only those of
/// uploads, of copies and of losses.
fn recount(journal: &[Recorded], n: u64) -> anyhow::Result<BTreeMap<NodeId, Counted>> {
    let mut after = After::default();
    for recorded in journal.iter().filter(|recorded| recorded.n <= n) {
        after.follow(recorded)?;
    }
    after.count()
}

impl After {
    fn follow(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let event = recorded.decode()?;
        match event.fact {
            Fact::NodeJoined(joined) => self.nodes.push(joined.node),
            Fact::FileUploaded(uploaded) => {
                // The catalog holds times to the microsecond.
                let at = event.time.replace_nanosecond(event.time.nanosecond() / 1000 * 1000)?;
                self.blobs.insert(uploaded.blob_id, (uploaded.size_bytes, at));
                for node in &self.nodes {
                    let is_there = *node == uploaded.node;
                    let n = recorded.n;
                    let copied = if is_there { Copied::Stored(n, n) } else { Copied::Pending(n) };
                    self.copies.insert((uploaded.blob_id, node.clone()), copied);
                }
            }
            Fact::ReplicaStored(copied) => {
                for replica in copied.replicas {
                    let copy = self.copies.get_mut(&(replica.blob_id, copied.node.clone())).context("nobody asked")?;
                    if !matches!(copy, Copied::Stored(..)) {
                        *copy = Copied::Stored(recorded.n, replica.cause);
                    }
                }
            }
            Fact::ReplicaLost(lost) => {
                for replica in lost.replicas {
                    self.copies.insert((replica.blob_id, lost.node.clone()), Copied::Lost(recorded.n));
                }
            }
            Fact::SpaceCreated(_) => {}
            other => anyhow::bail!("an event of another kind: {other:?}"),
        }
        Ok(())
    }

    fn count(self) -> anyhow::Result<BTreeMap<NodeId, Counted>> {
        let mut counted: BTreeMap<NodeId, Counted> =
            self.nodes.into_iter().map(|node| (node, Counted::default())).collect();
        let mut behind: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
        for ((blob, node), copied) in self.copies {
            let counts = counted.get_mut(&node).context("a node that did not join")?;
            let (size, at) = self.blobs[&blob];
            let since = match copied {
                Copied::Stored(..) => {
                    counts.stored += 1;
                    continue;
                }
                Copied::Pending(since) => {
                    counts.pending += 1;
                    since
                }
                Copied::Lost(since) => {
                    counts.lost += 1;
                    since
                }
            };
            let events = behind.entry(node).or_default();
            events.insert(since);
            counts.events_behind = events.len() as u64;
            counts.bytes_pending += size;
            counts.oldest_pending_at = Some(counts.oldest_pending_at.map_or(at, |oldest| oldest.min(at)));
        }
        Ok(counted)
    }
}

/// How soon each node's backlog is gone by what events up to `n` did after the one with the number `since`.
#[expect(clippy::cast_precision_loss, reason = "an estimate, made as the gateway makes it")]
fn ends(journal: &[Recorded], n: u64, since: u64) -> anyhow::Result<BTreeMap<NodeId, Option<Duration>>> {
    let mut after = After::default();
    for recorded in journal.iter().filter(|recorded| recorded.n <= n) {
        after.follow(recorded)?;
    }
    let mut sizes: BTreeMap<NodeId, (i64, i64)> = after.nodes.iter().map(|node| (node.clone(), (0, 0))).collect();
    for ((blob, node), copied) in &after.copies {
        let size = i64::try_from(after.blobs[blob].0)?;
        let (behind, drained) = sizes.get_mut(node).context("a node that did not join")?;
        match *copied {
            Copied::Stored(at, asked) if at > since && asked <= since => *drained += size,
            Copied::Stored(..) => {}
            Copied::Pending(asked) | Copied::Lost(asked) => {
                *behind += size;
                if asked > since {
                    *drained -= size;
                }
            }
        }
    }
    let end = |(behind, drained): (i64, i64)| match drained {
        _ if behind == 0 => Some(Duration::ZERO),
        1.. => Some(Duration::from_secs_f64(ETA_WINDOW.as_secs_f64() * (behind as f64 / drained as f64))),
        _ => None,
    };
    Ok(sizes.into_iter().map(|(node, sizes)| (node, end(sizes))).collect())
}

/// The ends that may be told between two moments: which event was the last before the window depends on when exactly.
fn possible_ends(
    journal: &[Recorded],
    n: u64,
    between: [OffsetDateTime; 2],
) -> anyhow::Result<Vec<BTreeMap<NodeId, Option<Duration>>>> {
    let [earliest, latest] = between.map(|now| now - ETA_WINDOW);
    let mut times = vec![OffsetDateTime::UNIX_EPOCH];
    for recorded in journal.iter().filter(|recorded| recorded.n <= n) {
        times.push(recorded.decode()?.time);
    }
    let is_possible =
        |since: &usize| times[*since] <= latest && times.get(since + 1).is_none_or(|next| *next > earliest);
    (0..times.len()).filter(is_possible).map(|since| ends(journal, n, since as u64)).collect()
}

fn told(status: &GetStatusResponse) -> anyhow::Result<(u64, BTreeMap<NodeId, Counted>)> {
    let checkpoint: Sequence = status.catalog.as_ref().context("no catalog")?.checkpoint.parse()?;
    let mut told = BTreeMap::new();
    for node in &status.nodes {
        let at = |at: &prost_types::Timestamp| -> anyhow::Result<OffsetDateTime> {
            Ok(OffsetDateTime::from_unix_timestamp_nanos(
                i128::from(at.seconds) * 1_000_000_000 + i128::from(at.nanos),
            )?)
        };
        let counted = Counted {
            stored: node.blobs_stored,
            pending: node.blobs_pending,
            lost: node.blobs_lost,
            events_behind: node.events_behind,
            bytes_pending: node.bytes_pending,
            oldest_pending_at: node.oldest_pending_at.as_ref().map(at).transpose()?,
        };
        told.insert(node.node.parse()?, counted);
        ensure!(node.blobs_parked + node.blobs_erasing == 0, "{node:?}");
    }
    Ok((checkpoint.n, told))
}

#[test]
fn what_is_told_under_load_is_what_the_journal_gives() {
    let brisk = |b: compose::Builder| {
        ["gateway", "replicator"].into_iter().fold(b, |b, service| {
            b.env(service, "HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__READ_TIMEOUT", "2s")
                .env(service, "HIGHWATER_BLOBS__HEALTH_INTERVAL", "1s")
        })
    };
    run(brisk, async |cluster| {
        cluster.client().await?.put("first", Content::new(1, 100)).await?;
        cluster.stack.pause("node-c").await?;
        let done = AtomicBool::new(false);
        let upload = async |uploader: u64| -> anyhow::Result<()> {
            let mut client = cluster.client().await?;
            for n in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let content = Content::new(uploader * 1000 + n, 1000 + n * 7);
                client.put(&format!("u{uploader}/{n}"), content).await?;
            }
            Ok(())
        };
        let watch = async {
            let mut statuses: Vec<GetStatusResponse> = Vec::new();
            eventually("enough was told at different checkpoints", async || {
                let status = cluster.client().await?.status().await?;
                let (n, counted) = told(&status)?;
                let is_new = statuses.iter().all(|before| told(before).is_ok_and(|(other, _)| other != n));
                let lacks = counted.iter().any(|(node, counted)| node.as_str() == "node-c" && counted.pending > 5);
                if is_new && lacks {
                    statuses.push(status);
                }
                ensure!(statuses.len() >= 15, "{} times so far", statuses.len());
                anyhow::Ok(())
            })
            .await;
            done.store(true, Ordering::Relaxed);
            statuses
        };
        let (statuses, first, second, third) = tokio::join!(watch, upload(1), upload(2), upload(3));
        first.and(second).and(third)?;
        let all = journal(cluster).await?;
        for status in &statuses {
            let (n, told) = told(status)?;
            assert_eq!(told, recount(&all, n)?, "at {n}");
        }

        cluster.stack.resume("node-c").await?;
        let settled = cluster.settle().await;
        let (n, told) = told(&settled)?;
        let all = journal(cluster).await?;
        assert_eq!(told, recount(&all, n)?);
        assert!(told.values().all(|counted| counted.pending == 0 && counted.oldest_pending_at.is_none()), "{told:?}");
        cluster.verify().await
    });
}

#[test]
fn what_is_lost_is_behind_until_it_is_there_again() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("kept", Content::new(1, 3000)).await?;
            let receipt = client.put("lost", Content::new(2, 5000)).await?;
            cluster.settle().await;
            cluster.stack.scale(0).await?;
            let (s3, bucket) = s3::client(cluster, "node-b");
            let key = receipt.blob_id.parse::<BlobId>()?.key();
            s3.delete_object().bucket(bucket).key(key).send().await?;
            cluster.highwater(&["ops", "audit", "--repair"]).await?;
            cluster.settle_catalog().await;
            let (n, counted) = told(&client.status().await?)?;
            assert_eq!(counted, recount(&journal(cluster).await?, n)?);
            let behind = &counted[&"node-b".parse()?];
            assert_eq!((behind.lost, behind.events_behind, behind.bytes_pending), (1, 1, 5000));
            cluster.stack.scale(1).await?;
            let (n, counted) = told(&cluster.settle().await)?;
            assert_eq!(counted, recount(&journal(cluster).await?, n)?);
            assert!(counted.values().all(|counted| counted.lost + counted.bytes_pending == 0), "{counted:?}");
            Ok(())
        },
    );
}

#[test]
fn an_end_that_is_told_is_the_one_that_the_journal_gives() {
    let setup = |b: compose::Builder| {
        b.replicators(0).env("replicator", "HIGHWATER_REPLICATOR__CONCURRENCY", "1").env(
            "gateway",
            "HIGHWATER_LIMITS__ETA_WINDOW",
            "2s",
        )
    };
    run(setup, async |cluster| {
        let mut client = cluster.client().await?;
        for n in 0..300 {
            client.put(&format!("f{n}"), Content::new(n, 100_000)).await?;
        }
        let status = client.status().await?;
        assert!(status.nodes.iter().all(|node| node.eta.is_none()), "nobody copies: {status:?}");
        cluster.stack.scale(1).await?;
        let mut statuses: Vec<([OffsetDateTime; 2], GetStatusResponse)> = Vec::new();
        let mut is_restarted = false;
        eventually("everything is copied", async || {
            let asked = Clock::system().now();
            let status = cluster.client().await?.status().await?;
            let is_shrinking = status.nodes.iter().any(|node| node.bytes_pending > 0 && node.eta.is_some());
            let left: u64 = status.nodes.iter().map(|node| node.bytes_pending).sum();
            statuses.push(([asked, Clock::system().now()], status));
            // Whoever is asked next remembers nothing.
            if is_shrinking && !is_restarted {
                cluster.stack.restart("gateway").await?;
                is_restarted = true;
            }
            ensure!(left == 0, "{left} bytes are left");
            anyhow::Ok(())
        })
        .await;
        assert!(is_restarted, "no end was told: {statuses:?}");
        let all = journal(cluster).await?;
        for (between, status) in statuses {
            let (n, _) = told(&status)?;
            let mut ends = BTreeMap::new();
            for node in &status.nodes {
                ends.insert(node.node.parse()?, node.eta.map(Duration::try_from).transpose()?);
            }
            let possible = possible_ends(&all, n, between)?;
            assert!(possible.contains(&ends), "at {n}, {between:?}: {ends:?} is none of {possible:?}");
        }
        let status = cluster.settle().await;
        assert!(status.nodes.iter().all(|node| node.eta == Some(prost_types::Duration::default())), "{status:?}");
        Ok(())
    });
}

#[test]
fn who_watches_sees_a_backlog_come_and_go() {
    run(
        |b| b,
        async |cluster| {
            let mut command = cluster.stack.command("highwater", ["ops", "status", "--watch", "--json"])?;
            let mut watching = command.stdout(Stdio::piped()).spawn()?;
            let mut lines = BufReader::new(watching.stdout.take().context("no output")?).lines();
            let mut pending = async || -> anyhow::Result<u64> {
                let line = timeout(SAID_WITHIN, lines.next_line()).await??.context("it ended")?;
                let status: serde_json::Value = serde_json::from_str(&line)?;
                let nodes = status["nodes"].as_array().context("no nodes")?;
                let node = nodes.iter().find(|node| node["node"] == "node-b").context("no node-b")?;
                node["blobs_pending"].as_u64().with_context(|| line.clone())
            };
            let is = |pending: u64, expected: u64| -> anyhow::Result<()> {
                ensure!(pending == expected, "{pending} are pending");
                Ok(())
            };
            assert_eq!(pending().await?, 0);
            cluster.stack.stop("node-b").await?;
            cluster.client().await?.put("a", Content::new(1, 5000)).await?;
            eventually("the backlog is shown", async || is(pending().await?, 1)).await;
            cluster.stack.start("node-b").await?;
            eventually("no backlog is shown", async || is(pending().await?, 0)).await;
            signal("INT", watching.id().context("it ended")?.into())?;
            assert_eq!(watching.wait().await?.code(), Some(130));
            Ok(())
        },
    );
}
