//! Uploads and downloads: straight to the nodes and through the gateway, in turns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::ensure;
use bytes::Bytes;
use proto::v1::{self, UploadMetadata};
use tests::{Client, Cluster, Content};
use tokio::task::JoinSet;

use crate::Load;
use crate::direct::Direct;
use crate::process::{cpu_seconds, peak_bytes};
use crate::report::{cpu, mebibytes, median, rate};

/// Size of the messages that the gateway's clients send.
const CHUNK: usize = 1024 * 1024;

/// The head of the table.
pub(crate) const HEAD: [&str; 11] = [
    "size",
    "clients",
    "direct up",
    "gateway up",
    "ratio",
    "direct down",
    "gateway down",
    "ratio",
    "gateway CPU up",
    "gateway CPU down",
    "gateway peak",
];

/// Measures one load; answers its row.
pub(crate) async fn measure(cluster: &Cluster, load: Load, rounds: u64) -> anyhow::Result<Vec<String>> {
    let content = Content::new(load.size, load.size).bytes();
    let directs: Vec<Direct> = cluster.stack.nodes().iter().map(Direct::new).collect::<Result<_, _>>()?;
    let (mut direct_up, mut up, mut direct_down, mut down) = (vec![], vec![], vec![], vec![]);
    let (mut cpu_up, mut cpu_down) = (vec![], vec![]);
    for round in 0..rounds {
        let prefix = format!("bench/{}/{round}", load.size);
        direct_up.push(direct(&directs, load, &prefix, Some(&content)).await?);
        let before = cpu_seconds(cluster, "gateway")?;
        up.push(upload(cluster, load, &prefix, &content).await?);
        let between = cpu_seconds(cluster, "gateway")?;
        down.push(download(cluster, load, &prefix).await?);
        cpu_up.push(between - before);
        cpu_down.push(cpu_seconds(cluster, "gateway")? - between);
        direct_down.push(direct(&directs, load, &prefix, None).await?);
    }
    let [direct_up, up, direct_down, down, cpu_up, cpu_down] =
        [direct_up, up, direct_down, down, cpu_up, cpu_down].map(median);
    Ok(vec![
        load.name.to_owned(),
        load.clients.to_string(),
        rate(load.size, load.count, direct_up),
        rate(load.size, load.count, up),
        format!("{:.2}", direct_up / up),
        rate(load.size, load.count, direct_down),
        rate(load.size, load.count, down),
        format!("{:.2}", direct_down / down),
        cpu(load.size, load.count, cpu_up),
        cpu(load.size, load.count, cpu_down),
        mebibytes(peak_bytes(cluster, "gateway")?),
    ])
}

/// Acknowledged uploads a second, with whatever runs now.
pub(crate) async fn acknowledged_per_second(cluster: &Cluster, load: Load, rounds: u64) -> anyhow::Result<f64> {
    let content = Content::new(load.size, load.size).bytes();
    let mut seconds = Vec::new();
    for round in 0..rounds {
        seconds.push(upload(cluster, load, &format!("running/{round}"), &content).await?);
        cluster.settle().await;
    }
    Ok(load.count as f64 / median(seconds))
}

/// Uploads the load's files as `<prefix>/<n>` through the cluster's gateway; answers the seconds.
pub(crate) async fn upload(cluster: &Cluster, load: Load, prefix: &str, content: &Bytes) -> anyhow::Result<f64> {
    send(cluster.stack.gateway_addr()?, load, prefix, content).await
}

/// The same through the gateway at this address.
pub(crate) async fn upload_to(gateway: SocketAddr, load: Load, prefix: &str) -> anyhow::Result<f64> {
    send(gateway, load, prefix, &Content::new(load.size, load.size).bytes()).await
}

async fn send(gateway: SocketAddr, load: Load, prefix: &str, content: &Bytes) -> anyhow::Result<f64> {
    let prefix = prefix.to_owned();
    let content = content.clone();
    through_gateway(gateway, load, move |mut client, n| {
        let about = UploadMetadata {
            path: format!("{prefix}/{n}"),
            size_bytes: Some(content.len() as u64),
            ..Default::default()
        };
        let content = content.clone();
        async move {
            let chunks: Vec<Bytes> =
                (0..content.len()).step_by(CHUNK).map(|at| content.slice(at..content.len().min(at + CHUNK))).collect();
            client.upload(about, futures::stream::iter(chunks)).await?;
            Ok(())
        }
    })
    .await
}

async fn download(cluster: &Cluster, load: Load, prefix: &str) -> anyhow::Result<f64> {
    let prefix = prefix.to_owned();
    through_gateway(cluster.stack.gateway_addr()?, load, move |mut client, n| {
        let request = v1::DownloadRequest { path: format!("{prefix}/{n}"), ..Default::default() };
        async move {
            let mut stream = client.files.download(request).await?.into_inner();
            let mut size = 0;
            while let Some(message) = stream.message().await? {
                if let Some(v1::download_response::Payload::Chunk(chunk)) = message.payload {
                    size += chunk.len() as u64;
                }
            }
            ensure!(size == load.size, "{size} bytes instead of {}", load.size);
            Ok(())
        }
    })
    .await
}

async fn through_gateway<F, W>(gateway: SocketAddr, load: Load, work: W) -> anyhow::Result<f64>
where
    W: Fn(Client, u64) -> F + Clone + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let mut clients = Vec::new();
    for _ in 0..load.clients {
        clients.push(Client::connect(gateway).await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in clients {
        let (next, work) = (Arc::clone(&next), work.clone());
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.count {
                    return anyhow::Ok(());
                }
                work(client.clone(), n).await?;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Puts (with content) or gets the load's objects as `<prefix>/<n>`, on these nodes by turns; answers the seconds.
pub(crate) async fn direct(
    directs: &[Direct],
    load: Load,
    prefix: &str,
    content: Option<&Bytes>,
) -> anyhow::Result<f64> {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..load.clients {
        let (next, directs, content) = (Arc::clone(&next), directs.to_vec(), content.cloned());
        let prefix = prefix.to_owned();
        tasks.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= load.count {
                    return anyhow::Ok(());
                }
                let node = &directs[n as usize % directs.len()];
                let key = format!("{prefix}/{n}");
                match &content {
                    Some(content) => node.put(key, content.clone()).await?,
                    None => ensure!(node.get(key).await? == load.size, "another size"),
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(started.elapsed().as_secs_f64())
}
