//! SIGKILL of the server in the middle of everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::bench::{Bench, everything, upload};
use crate::server::{Sync, eventually};

const KILLS: u64 = 6;
const PUBLISHERS: usize = 48;
const BETWEEN_KILLS: u64 = 700;

/// Every event that was answered Ok is in the stream exactly once, at the place that was answered.
#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_event_is_stored_once_though_the_server_is_killed() -> Result<()> {
    let mut bench = Bench::start().await?;
    let journal = bench.open().await?;
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut publishers = JoinSet::new();
    for _ in 0..PUBLISHERS {
        let (journal, acknowledged, stop) = (journal.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
        let ids = bench.ids.clone();
        publishers.spawn(async move {
            let mut ok = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let event = upload(&ids, 1);
                if let Ok(published) = journal.publish(&event).await {
                    ok.push((event.id.to_string(), published.n));
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
            ok
        });
    }
    for kill in 1..=KILLS {
        let reached = kill * BETWEEN_KILLS;
        eventually("events are acknowledged", async || (acknowledged.load(Ordering::Relaxed) >= reached).then_some(()))
            .await;
        bench.server.kill()?;
        bench.server.restart(Sync::Always).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let ok: Vec<(String, u64)> = publishers.join_all().await.into_iter().flatten().collect();
    let mut places: HashMap<String, Vec<u64>> = HashMap::new();
    for (n, id) in everything(&journal).await? {
        places.entry(id).or_default().push(n);
    }
    assert!(ok.len() as u64 >= KILLS * BETWEEN_KILLS);
    for (id, n) in ok {
        assert_eq!(places.get(&id), Some(&vec![n]), "event {id} was acknowledged at {n}");
    }
    assert!(places.values().all(|places| places.len() == 1), "an event that was not acknowledged is there twice");
    assert_eq!(journal.is_diverged(), None);
    Ok(())
}
