use crate::bench::Bench;
use anyhow::Result;
use std::time::{Duration, Instant};
#[tokio::test(flavor = "multi_thread")]
async fn speed() -> Result<()> {
    for round in 0..3 {
        for width in [4usize, 8, 16, 32, 64, 128] {
            for min in [2usize, 1000] {
                let mut bench = Bench::start().await?;
                bench.config.publish_batch_min = min;
                let journal = bench.open().await?;
                let started = Instant::now();
                let mut set = tokio::task::JoinSet::new();
                for _ in 0..width {
                    let (journal, ids) = (journal.clone(), bench.ids.clone());
                    set.spawn(async move {
                        let mut count = 0u64;
                        while started.elapsed() < Duration::from_millis(1500) {
                            journal.publish(&crate::bench::upload(&ids, 1)).await.unwrap();
                            count += 1;
                        }
                        count
                    });
                }
                let total: u64 = set.join_all().await.into_iter().sum();
                let kind = if min == 2 { "batch " } else { "single" };
                let load = std::fs::read_to_string("/proc/loadavg")?;
                eprintln!("round {round} width {width} {kind}: {:.0}/s load {}", total as f64 / started.elapsed().as_secs_f64(), &load[..5]);
            }
        }
    }
    for n in [100_000u64] {
        let mut bench = Bench::empty().await?;
        bench.config.max_bytes = 1 << 30;
        bench.init().await?;
        let journal = bench.open().await?;
        let js = bench.jetstream().await?;
        let mut acks = Vec::new();
        let payload: bytes::Bytes = bench.upload(1).encode().into();
        // straight into the store, many batches
        let client = async_nats::connect(&bench.server.url).await?;
        let _ = js;
        for b in 0..(n / 1000) {
            for i in 1..=1000u64 {
                let mut h = async_nats::HeaderMap::new();
                h.insert("Nats-Batch-Id", format!("b{b}"));
                h.insert("Nats-Batch-Sequence", i.to_string());
                if i == 1000 { h.insert("Nats-Batch-Commit", "1");
                    acks.push(client.request_with_headers("hw.v1.replica_stored", h, payload.clone()).await?);
                } else {
                    client.publish_with_headers("hw.v1.replica_stored", h, payload.clone()).await?;
                }
            }
        }
        eprintln!("{:?}", String::from_utf8_lossy(&acks.last().unwrap().payload));
        for _ in 0..3 {
            let started = Instant::now();
            let mut replay = journal.replay(1, Some(n));
            let mut count = 0;
            while !replay.is_finished() { count += replay.next_batch(5000, Duration::from_secs(5)).await?.len(); }
            eprintln!("replay {count}: {:.0}/s", count as f64 / started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
