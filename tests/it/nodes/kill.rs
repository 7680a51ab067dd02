//! SIGKILL at random points while uploading: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use runtime::config::Environment;
use tests::{Client, Cluster, Content, chunks, eventually, metadata, run};

const UPLOADERS: u64 = 6;
const VICTIMS: [&str; 9] =
    ["gateway", "replicator-1", "replicator-2", "projector", "nats", "node-a", "node-b", "node-c", "postgres"];
/// Uploads that are acknowledged between two kills, at most.
const BETWEEN: u64 = 25;
/// One time in so many, two are killed at once.
const TWO_AT_ONCE: u64 = 3;

/// What was acknowledged, by path.
type Acknowledged = Arc<Mutex<BTreeMap<String, Content>>>;

/// A number from the environment, so that a run can be made longer, or the same again.
fn number(name: &str, default: impl FnOnce() -> u64) -> u64 {
    match Environment::process().var(name) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")),
        None => default(),
    }
}

fn content(seed: u64, uploader: u64, n: u64) -> Content {
    // Mostly small; some of several slices, and one uploader's at times for the lane of the large ones.
    let size = match (uploader, n % 17) {
        (0, 16) => proto::LARGE_BLOB_BYTES + n,
        (_, 16) => 9 * 1024 * 1024 + n,
        _ => 1000 + (n * 7919) % 60_000,
    };
    Content::new(seed ^ (uploader << 32) ^ n, size)
}

/// Uploads one file after the other until told to stop; each is tried, with one request id, until it is acknowledged.
async fn upload(
    cluster: &Cluster,
    seed: u64,
    uploader: u64,
    done: &AtomicU64,
    stop: &AtomicU64,
    acknowledged: &Acknowledged,
) {
    for n in 0.. {
        if stop.load(Ordering::Relaxed) > 0 {
            return;
        }
        let path = format!("u{uploader}/{n}");
        let content = content(seed, uploader, n);
        let mut about = metadata(&path);
        about.request_id = format!("{uploader}-{n}");
        about.size_bytes = Some(content.size);
        eventually(&path, async || {
            let mut client: Client = cluster.client().await?;
            let receipt = client.upload(about.clone(), chunks(content)).await?;
            ensure!(receipt.sha256 == content.sha256().as_bytes()[..], "another digest");
            anyhow::Ok(())
        })
        .await;
        acknowledged.lock().expect("nobody panics with it").insert(path, content);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whom to kill next: everyone in turn, in an order that changes from turn to turn, so that nobody is left out.
struct Victims {
    random: StdRng,
    left: Vec<&'static str>,
}

impl Victims {
    /// So many different ones, or as many as the turn has left.
    fn next(&mut self, count: usize) -> Vec<&'static str> {
        if self.left.is_empty() {
            self.left = VICTIMS.to_vec();
            self.left.shuffle(&mut self.random);
        }
        self.left.split_off(self.left.len().saturating_sub(count))
    }
}

async fn kill(cluster: &Cluster, seed: u64, kills: u64, done: &AtomicU64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut victims = Victims { random: StdRng::from_rng(&mut random), left: Vec::new() };
    let mut n = 0;
    for time in 1.. {
        if n >= kills {
            break;
        }
        let goal = done.load(Ordering::Relaxed) + random.random_range(0..BETWEEN);
        eventually("uploads go on", async || {
            let reached = done.load(Ordering::Relaxed);
            ensure!(reached >= goal, "{reached} of {goal}");
            Ok(())
        })
        .await;
        let together = victims.next(if time % TWO_AT_ONCE == 0 { 2 } else { 1 });
        println!("kill {n}: {} after {goal} uploads", together.join(" and "));
        try_join_all(together.iter().map(|name| cluster.stack.kill(name))).await.context(together.join(" and "))?;
        // At the same time: who starts is ready only when what it needs is there.
        try_join_all(together.iter().map(|name| cluster.stack.start(name))).await.context(together.join(" and "))?;
        n += together.len() as u64;
    }
    Ok(())
}

#[test]
fn what_was_acknowledged_survives_kills_at_random_points() {
    let kills = number("HIGHWATER_TEST_KILLS", || 20);
    let seed = number("HIGHWATER_TEST_SEED", || u64::from(std::process::id()));
    println!("HIGHWATER_TEST_SEED={seed} HIGHWATER_TEST_KILLS={kills}");
    run(
        |b| b,
        async |cluster| {
            let acknowledged = Acknowledged::default();
            let (done, stop) = (AtomicU64::new(0), AtomicU64::new(0));
            let uploaders = (0..UPLOADERS).map(|uploader| upload(cluster, seed, uploader, &done, &stop, &acknowledged));
            let killer = async {
                let outcome = kill(cluster, seed, kills, &done).await;
                stop.store(1, Ordering::Relaxed);
                outcome
            };
            let (outcome, _) = tokio::join!(killer, futures::future::join_all(uploaders));
            outcome?;
            let status = cluster.settle().await;
            assert!(status.nodes.iter().all(|node| node.blobs_parked == 0), "{status:?}");
            let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("nobody panics with it"));
            println!("{} uploads acknowledged", acknowledged.len());
            let mut client = cluster.client().await?;
            for (path, content) in acknowledged {
                let file = client.file(&path).await.with_context(|| path.clone())?;
                ensure!((file.replicas_stored, file.replicas_wanted) == (3, 3), "{file:?}");
                ensure!(client.get(&path).await? == content.bytes(), "{path} has other bytes");
            }
            // What the catalog says of the nodes is so: every copy is there, with the right bytes.
            eventually("a deep audit finds no difference", async || {
                let audit = cluster.highwater(&["ops", "audit", "--deep"]).await?;
                ensure!(audit.status.success(), "{audit:?}");
                Ok(())
            })
            .await;
            cluster.verify().await
        },
    );
}
