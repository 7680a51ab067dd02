//! Erasure while everything else happens: nothing that is named is ever erased, and of what was erased nothing is left.

mod end;
mod faults;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::ensure;
use proto::v1::{self, OnConflict, Outcome, Receipt, UploadMetadata};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runtime::config::Environment;
use tests::{Client, Cluster, Content, chunks, eventually, reason_of, run};
use tonic::{Code, Status};

use super::retention::{hasty, keep, prune, set};

pub use end::End;

/// Rounds of each of the clients, at least; few contents, so that instant uploads meet content that is about to go.
const ROUNDS: u64 = 60;
const CONTENTS: u64 = 10;
const CLIENTS: u64 = 4;
/// One of so many uploads is asked for once more, as after a lost answer.
const AGAIN_EVERY: u32 = 6;
/// Once in so many times the janitor empties the trash too.
const EMPTIES_TRASH_EVERY: u64 = 10;

/// What else happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// See [`faults`].
    Faults,
}

/// A run, and what it came to.
struct Fire<'a> {
    cluster: &'a Cluster,
    /// The clients may end.
    over: AtomicBool,
    /// Requests that were sent again, with the same id, because nobody knew what had become of them.
    retried: AtomicU64,
    /// Requests that were sent again although they had been answered.
    repeated: AtomicU64,
    /// Deliveries to replicators that came again.
    redelivered: AtomicU64,
    /// Writes that a node refused.
    refused: AtomicU64,
}

#[test]
fn erasure_under_fire_takes_nothing_that_is_named() {
    run(hasty, async |cluster| Box::pin(under_fire(cluster, Meanwhile::Nothing)).await);
}

#[test]
fn erasure_under_fire_with_lost_answers_copies_in_backoff_and_redeliveries() {
    run(|b| faults::restless(hasty(b)), async |cluster| Box::pin(under_fire(cluster, Meanwhile::Faults)).await);
}

async fn under_fire(cluster: &Cluster, meanwhile: Meanwhile) -> anyhow::Result<()> {
    let seed = Environment::process().var("HIGHWATER_TEST_SEED").map_or(Ok(rand::random::<u64>()), str::parse)?;
    println!("seed {seed}");
    let zero = || AtomicU64::new(0);
    let fire = Fire {
        cluster,
        over: AtomicBool::new(meanwhile == Meanwhile::Nothing),
        retried: zero(),
        repeated: zero(),
        redelivered: zero(),
        refused: zero(),
    };
    set(&mut cluster.client().await?, keep(Some(2), None)).await?;
    let clients = futures::future::try_join_all((0..CLIENTS).map(|n| change(&fire, seed.wrapping_add(n))));
    let faults = async {
        if meanwhile == Meanwhile::Faults {
            let proxies = faults::start_replicators(cluster).await?;
            faults::happen(&fire, &proxies).await?;
            fire.over.store(true, Ordering::Relaxed);
            // The replicators need their proxies to the end.
            return anyhow::Ok(proxies);
        }
        Ok(Vec::new())
    };
    let fought = async { tokio::try_join!(clients, faults) };
    let (_, _proxies) = tokio::select! {
        ended = fought => ended?,
        failed = clean(&fire) => return failed,
    };
    leave_some_of_each(cluster).await?;
    let mut end = settled(cluster).await;
    let (erased, (instant, restored)) = (end.erased().len(), end.instant_and_restored());
    let [retried, repeated, redelivered, refused] =
        [&fire.retried, &fire.repeated, &fire.redelivered, &fire.refused].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{erased} erased, {instant} instant, {restored} restored, {repeated} repeated, {retried} retried, \
         {redelivered} redelivered, {refused} refused"
    );
    ensure!(erased > 0 && instant > 0 && restored > 0 && repeated > 0, "what shall race did not happen");
    if meanwhile == Meanwhile::Faults {
        ensure!(retried > 0 && redelivered > 0 && refused > 0, "what shall go wrong did not");
        erase_what_nobody_published(cluster).await?;
        end = settled(cluster).await;
    }
    end.is_on_the_nodes(cluster).await?;
    for path in cluster.client().await?.ls("").await?.iter().filter(|path| !path.ends_with('/')) {
        is_readable(cluster, path).await?;
    }
    cluster.verify().await
}

/// Prunes as fast as it can.
async fn clean(fire: &Fire<'_>) -> anyhow::Result<()> {
    for n in 1.. {
        let kept = match n % EMPTIES_TRASH_EVERY {
            0 => Some(keep(Some(2), Some(0))),
            1 => Some(keep(Some(2), None)),
            _ => None,
        };
        answered(fire, async |mut janitor: Client| {
            if let Some(kept) = kept {
                set(&mut janitor, kept).await?;
            }
            prune(&mut janitor, false).await
        })
        .await??;
    }
    Ok(())
}

/// What the fire may have left none of: a version that is not current, and one in the trash.
async fn leave_some_of_each(cluster: &Cluster) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    set(&mut client, keep(Some(2), None)).await?;
    for (path, seed) in [("f0", 1), ("f0", 2), ("gone", 3)] {
        client.put(path, Content::new(2_000_000 + seed, 20_000)).await?;
    }
    client.delete("gone").await?;
    prune(&mut client, false).await?;
    Ok(())
}

/// A gateway that is killed between writing and publishing leaves objects that no event names. That is all that an audit may
/// find, once they are old enough; and it has them erased.
async fn erase_what_nobody_published(cluster: &Cluster) -> anyhow::Result<()> {
    let mut found = 0;
    eventually("audits find nothing more", async || {
        let output = cluster.highwater(&["ops", "audit", "--repair", "--json"]).await?;
        let said = String::from_utf8(output.stdout)?;
        let kinds: Vec<serde_json::Value> = said.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let kinds: Vec<&str> = kinds.iter().filter_map(|line| line["kind"].as_str()).collect();
        assert!(kinds.iter().all(|kind| kind.eq_ignore_ascii_case("orphan")), "{said}");
        found += kinds.len();
        settled(cluster).await.is_on_the_nodes(cluster).await
    })
    .await;
    println!("{found} objects that nobody published");
    Ok(())
}

/// Waits until nothing is left to be copied, condemned or erased.
async fn settled(cluster: &Cluster) -> End {
    cluster.settle().await;
    eventually("every erasure is confirmed", async || {
        let end = End::read(cluster).await?;
        ensure!(end.open() == 0, "{} blobs are on their way", end.open());
        anyhow::Ok(())
    })
    .await;
    let status = cluster.settle().await;
    assert!(status.nodes.iter().all(|node| node.blobs_parked == 0), "{status:?}");
    eventually("the catalog is read", async || End::read(cluster).await).await
}

/// The versions of a file that are not pruned can be read by their clients too.
async fn is_readable(cluster: &Cluster, path: &str) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    for version in client.versions(path).await? {
        if version.blob_id.is_empty() || version.pruned {
            continue;
        }
        let version_id = version.version_id.clone();
        let request = v1::DownloadRequest { path: path.to_owned(), version_id, ..Default::default() };
        let (_, bytes) = client.download(request).await?;
        ensure!(tests::digest_of(&bytes).as_bytes()[..] == version.sha256, "{path}: {version:?} has other bytes");
    }
    Ok(())
}

/// Asks until there is an answer: a gateway that is away, or went away before it answered, is asked again.
async fn answered<T>(
    fire: &Fire<'_>,
    ask: impl AsyncFn(Client) -> Result<T, Status>,
) -> anyhow::Result<Result<T, Status>> {
    let gateway = fire.cluster.stack.gateway_addr()?;
    let answer = eventually("the gateway answers", async || {
        let outcome = ask(Client::connect(gateway).await?).await;
        match outcome {
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled) => {
                fire.retried.fetch_add(1, Ordering::Relaxed);
                Err(anyhow::Error::new(status))
            }
            outcome => anyhow::Ok(outcome),
        }
    });
    Ok(answer.await)
}

/// One client.
async fn change(fire: &Fire<'_>, seed: u64) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0.. {
        if round >= ROUNDS && fire.over.load(Ordering::Relaxed) {
            break;
        }
        let (kind, version) = (random.random_range(0..10), random.random_range(0..usize::MAX));
        let [path, to] = [0, 1].map(|_| format!("f{}", random.random_range(0..3)));
        let request_id = format!("{seed}-{round}");
        let content = Content::new(random.random_range(0..CONTENTS), 20_000);
        if kind < 6 {
            let is_repeated = random.random_range(0..AGAIN_EVERY) == 0;
            upload(fire, about(path, request_id, (kind >= 2).then_some(content)), content, is_repeated).await?;
            continue;
        }
        let outcome = answered(fire, async |mut client: Client| match kind {
            6 => {
                let versions = client.versions(&path).await?;
                client.restore(&path, &versions[version % versions.len()].version_id).await.map(drop)
            }
            7 => client.cp(&path, &to, OnConflict::Overwrite).await.map(drop),
            8 => client.delete(&path).await.map(drop),
            _ => match client.delete(&path).await? {
                // The path names another file by now.
                receipt if receipt.outcome() == Outcome::Rejected => Ok(()),
                receipt => client.undelete_file(&receipt.file_id).await.map(drop),
            },
        });
        if let Err(status) = outcome.await? {
            ensure!(status.code() == Code::NotFound, "{}: {status:?}", reason_of(&status));
        }
    }
    Ok(())
}

fn about(path: String, request_id: String, declared: Option<Content>) -> UploadMetadata {
    let size_bytes = declared.map(|content| content.size);
    let sha256 = declared.map(|content| content.sha256().as_bytes().to_vec().into());
    UploadMetadata { path, request_id, size_bytes, sha256, ..Default::default() }
}

/// Uploads, and may ask for the very same once more: also when its content is gone by then, it is the same change.
async fn upload(fire: &Fire<'_>, about: UploadMetadata, content: Content, is_repeated: bool) -> anyhow::Result<()> {
    let ask =
        async || answered(fire, async |mut client: Client| client.upload(about.clone(), chunks(content)).await).await;
    let first: Receipt = ask().await??;
    if is_repeated {
        let again = ask().await??;
        let of = |receipt: &Receipt| (receipt.event_id.clone(), receipt.sequence.clone(), receipt.version_id.clone());
        ensure!(of(&again) == of(&first), "{about:?} was answered {first:?}, then {again:?}");
        fire.repeated.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
