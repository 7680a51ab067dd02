//! Being told to stop: what is in flight is finished, nothing new is begun, nothing is half done.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::kv::Operation;
use bytes::Bytes;
use compose::Builder;
use futures::stream::FuturesUnordered;
use futures::{StreamExt as _, TryStreamExt as _};
use http::Method;
use proto::v1::upload_request::Payload;
use proto::v1::{Receipt, UploadRequest};
use runtime::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use tests::{Act, Cluster, Content, Proxy, Rule, eventually, metadata, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::journal::jetstream;
use crate::s3;

const MIB: u64 = 1024 * 1024;
const CHUNK: u64 = 256 * 1024;

/// Much less than the time that a first signal gives to what is in flight.
const AT_ONCE: Duration = Duration::from_secs(12);
const GRACE: &str = "40s";

fn terminate(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let pid = cluster.stack.pid(name).with_context(|| format!("{name} does not run"))?;
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process has this id")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Waits for the end that a signal asked for: by itself, with code 0.
async fn ended_well(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let exit = timeout(Duration::from_mins(1), cluster.stack.wait_exit(name)).await.context(name.to_owned())??;
    ensure!(exit.is_success(), "{name} ended with {exit}: {}", cluster.stack.log_tail(name, 30));
    Ok(())
}

/// An upload of which the first half was sent.
struct Half {
    content: Content,
    send: mpsc::Sender<Payload>,
    answer: tokio::task::JoinSet<Result<Receipt, Status>>,
}

impl Half {
    async fn start(cluster: &Cluster, path: &str, content: Content) -> anyhow::Result<Self> {
        let mut client = cluster.client().await?;
        let (send, messages) = mpsc::channel(1);
        let messages = ReceiverStream::new(messages).map(|payload| UploadRequest { payload: Some(payload) });
        let mut answer = tokio::task::JoinSet::new();
        answer.spawn(async move { client.send(messages).await });
        send.send(Payload::Metadata(metadata(path))).await?;
        let half = Self { content, send, answer };
        half.feed(0, content.size / 2).await?;
        Ok(half)
    }

    async fn feed(&self, from: u64, to: u64) -> anyhow::Result<()> {
        for offset in (from..to).step_by(usize::try_from(CHUNK)?) {
            let chunk: Bytes = self.content.range(offset, CHUNK.min(to - offset));
            self.send.send(Payload::Chunk(chunk)).await?;
        }
        Ok(())
    }

    async fn finish(self) -> anyhow::Result<Receipt> {
        self.feed(self.content.size / 2, self.content.size).await?;
        Ok(self.answer().await??)
    }

    async fn answer(self) -> anyhow::Result<Result<Receipt, Status>> {
        let Self { send, mut answer, .. } = self;
        drop(send);
        Ok(answer.join_next().await.context("nobody waits for the answer")??)
    }
}

#[test]
fn the_gateway_finishes_the_uploads_in_flight_and_takes_no_new_ones() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_SHUTDOWN_GRACE", GRACE),
        async |cluster| {
            let mut before = cluster.client().await?;
            before.put("before", Content::new(1, 5000)).await?;
            let small = Half::start(cluster, "small", Content::new(2, 2 * CHUNK)).await?;
            let large = Half::start(cluster, "large", Content::new(3, 40 * MIB)).await?;
            terminate(cluster, "gateway")?;
            eventually("nobody new is let in", async || match cluster.client().await {
                Ok(_) => anyhow::bail!("a new connection"),
                Err(_) => Ok(()),
            })
            .await;
            let mut attempts = 0;
            let refused = eventually("connections from before take no new calls", async || {
                attempts += 1;
                let late = format!("late {attempts}");
                match timeout(Duration::from_secs(5), before.put(&late, Content::new(4, 5000))).await {
                    Ok(Ok(receipt)) => anyhow::bail!("it was taken: {receipt:?}"),
                    Ok(Err(_)) => Ok(late),
                    Err(_) => anyhow::bail!("no answer"),
                }
            })
            .await;
            let receipts = [small.finish().await.context("small")?, large.finish().await.context("large")?];
            ended_well(cluster, "gateway").await?;
            cluster.stack.start("gateway").await?;
            let mut client = cluster.client().await?;
            for (receipt, content) in receipts.iter().zip([Content::new(2, 2 * CHUNK), Content::new(3, 40 * MIB)]) {
                assert!(client.get(&receipt.path).await? == content.bytes(), "{}", receipt.path);
            }
            assert!(client.get(&refused).await.is_err(), "it was refused");
            assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
            cluster.verify().await
        },
    );
}

#[test]
fn a_second_signal_ends_the_gateway_at_once() {
    run(
        |b| b.replicators(0).env("gateway", "HIGHWATER_SHUTDOWN_GRACE", GRACE),
        async |cluster| {
            let half = Half::start(cluster, "cut", Content::new(1, 40 * MIB)).await?;
            terminate(cluster, "gateway")?;
            eventually("nobody new is let in", async || match cluster.client().await {
                Ok(_) => anyhow::bail!("a new connection"),
                Err(_) => Ok(()),
            })
            .await;
            assert!(cluster.stack.pid("gateway").is_some(), "it waits for the upload");
            let asked = Instant::now();
            terminate(cluster, "gateway")?;
            ended_well(cluster, "gateway").await?;
            assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
            let answer = half.answer().await?;
            assert!(answer.is_err(), "half an upload was acknowledged: {answer:?}");
            cluster.stack.start("gateway").await?;
            assert!(cluster.client().await?.get("cut").await.is_err());
            assert_eq!(s3::blobs(cluster).await?, Vec::<String>::new());
            assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
            cluster.verify().await
        },
    );
}

#[test]
fn idle_connections_of_http_1_do_not_hold_the_gateway_up() {
    let patient = |b: compose::Builder| {
        let b = b.replicators(0).env("gateway", "HIGHWATER_SHUTDOWN_GRACE", GRACE);
        b.env("gateway", "HIGHWATER_HTTP1__HEADER_TIMEOUT", "5m")
    };
    run(patient, async |cluster| {
        let gateway = cluster.stack.gateway_addr()?;
        let half = async |request: &[u8]| -> anyhow::Result<TcpStream> {
            let mut stream = TcpStream::connect(gateway).await?;
            stream.write_all(request).await?;
            Ok(stream)
        };
        let mut begun = half(b"GET /livez HTTP/1.1\r\n").await?;
        let mut asked = half(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await?;
        let mut answer = [0; 15];
        asked.read_exact(&mut answer).await?;
        assert_eq!(answer, *b"HTTP/1.1 200 OK");
        let mut again = half(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /live").await?;
        again.read_exact(&mut answer).await?;
        let told = Instant::now();
        terminate(cluster, "gateway")?;
        ended_well(cluster, "gateway").await?;
        assert!(told.elapsed() < AT_ONCE, "it took {:?}", told.elapsed());
        for stream in [&mut begun, &mut asked, &mut again] {
            let mut rest = Vec::new();
            // One with unread bytes is reset.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "a request that was not made was answered");
        }
        cluster.stack.start("gateway").await
    });
}

/// Every object of a blob on every node is whole and right, or is not there.
async fn nothing_is_wrong(cluster: &Cluster, receipt: &Receipt, content: Content) -> anyhow::Result<usize> {
    let key = receipt.blob_id.parse::<proto::BlobId>()?.key();
    let mut whole = 0;
    for node in cluster.stack.nodes() {
        if !s3::keys(cluster, &node.id, &key).await?.contains(&key) {
            continue;
        }
        let (client, bucket) = s3::client(cluster, &node.id);
        let object = client.get_object().bucket(bucket).key(&key).send().await?;
        let bytes = object.body.collect().await?.into_bytes();
        ensure!(bytes == content.bytes(), "{} has {} wrong bytes", node.id, bytes.len());
        whole += 1;
    }
    Ok(whole)
}

/// A replicator that copies large blobs in parts, and gives itself time to end.
fn in_parts(builder: compose::Builder) -> compose::Builder {
    let builder = builder.replicators(0).env("replicator", "HIGHWATER_BLOBS__COPY_PARTS_FROM", "64MiB");
    builder.env("replicator", "HIGHWATER_SHUTDOWN_GRACE", GRACE)
}

/// A replicator in the middle of a large copy: the parts wait until the sender says true.
async fn replicator_in_its_middle(
    cluster: &Cluster,
    content: Content,
) -> anyhow::Result<(Receipt, Vec<Proxy>, watch::Sender<bool>)> {
    let proxies = Proxy::between(cluster, "replicator").await?;
    let receipt = cluster.client().await?.put("large", content).await?;
    let (release, released) = watch::channel(false);
    for proxy in &proxies {
        let hold = Rule::new(&[Method::PUT], "blobs/", Act::Hold(released.clone())).with_query("partNumber");
        proxy.add(hold);
    }
    cluster.stack.scale(1).await?;
    eventually("parts are under way to both nodes", async || {
        let copying = proxies.iter().filter(|proxy| proxy.hits() > 0).count();
        ensure!(copying == 2, "to {copying}");
        Ok(())
    })
    .await;
    Ok((receipt, proxies, release))
}

#[test]
fn a_replicator_that_is_told_to_stop_leaves_whole_copies_or_none() {
    run(in_parts, async |cluster| {
        let content = Content::new(1, 72 * MIB);
        let (receipt, _proxies, release) = replicator_in_its_middle(cluster, content).await?;
        terminate(cluster, "replicator-1")?;
        eventually("it has heard", async || {
            let log = cluster.stack.log_tail("replicator-1", 50);
            ensure!(log.contains("SIGTERM"), "{log}");
            Ok(())
        })
        .await;
        assert_eq!(nothing_is_wrong(cluster, &receipt, content).await?, 1, "the parts are held");
        release.send(true)?;
        ended_well(cluster, "replicator-1").await?;
        nothing_is_wrong(cluster, &receipt, content).await?;
        cluster.stack.start("replicator-1").await?;
        cluster.replicated("large", 3).await;
        assert_eq!(nothing_is_wrong(cluster, &receipt, content).await?, 3);
        cluster.settle().await;
        assert_eq!(s3::unfinished(cluster).await?, Vec::<String>::new());
        cluster.verify().await
    });
}

/// Nobody has to wait until the lease of a duty that was cut off has ended.
#[test]
fn a_gateway_that_is_told_to_stop_gives_its_duties_back() {
    let scrubs = |b: Builder| {
        b.replicators(0).env("gateway", "HIGHWATER_DUTIES__SCRUB_INTERVAL", "1s").env(
            "gateway",
            "HIGHWATER_DUTIES__SCRUB_BYTES_PER_SECOND",
            "64KiB",
        )
    };
    run(scrubs, async |cluster| {
        cluster.client().await?.put("takes minutes", Content::new(1, 32 * MIB)).await?;
        let leases = jetstream(cluster).await?.get_key_value("highwater_leases").await?;
        eventually("the scrub is in the middle of it", async || {
            let lease = leases.entry("scrub").await?.context("nobody scrubs")?;
            let age = Clock::system().now() - lease.created;
            ensure!(lease.operation == Operation::Put && age > Duration::from_secs(2), "{lease:?}");
            anyhow::Ok(())
        })
        .await;
        cluster.stack.stop("gateway").await?;
        let held: Vec<String> = leases.keys().await?.try_collect().await?;
        assert_eq!(held, Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn a_second_signal_ends_a_replicator_at_once() {
    run(in_parts, async |cluster| {
        let content = Content::new(1, 72 * MIB);
        let (receipt, proxies, _release) = replicator_in_its_middle(cluster, content).await?;
        terminate(cluster, "replicator-1")?;
        eventually("it has heard", async || {
            let log = cluster.stack.log_tail("replicator-1", 50);
            ensure!(log.contains("SIGTERM"), "{log}");
            Ok(())
        })
        .await;
        let asked = Instant::now();
        terminate(cluster, "replicator-1")?;
        ended_well(cluster, "replicator-1").await?;
        assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
        assert_eq!(nothing_is_wrong(cluster, &receipt, content).await?, 1);
        proxies.iter().for_each(Proxy::clear);
        cluster.stack.start("replicator-1").await?;
        cluster.replicated("large", 3).await;
        assert_eq!(nothing_is_wrong(cluster, &receipt, content).await?, 3);
        cluster.settle().await;
        cluster.verify().await
    });
}

#[test]
fn a_projector_that_is_told_to_stop_goes_on_without_a_gap() {
    run(
        |b| b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "50ms"),
        async |cluster| {
            let (stop, stopped) = watch::channel(false);
            let mut client = cluster.client().await?;
            let uploads = async {
                let mut paths = Vec::new();
                while !*stopped.borrow() {
                    let n = paths.len() as u64;
                    paths.push(client.put(&format!("f{n}"), Content::new(n, 1000 + n)).await?.path);
                }
                anyhow::Ok(paths)
            };
            let restart_often = async || {
                for _ in 0..4 {
                    let before = cluster.client().await?.status().await?.journal.context("no journal")?.head;
                    eventually("events come in", async || {
                        let now = cluster.client().await?.status().await?.journal.context("no journal")?.head;
                        ensure!(now != before, "none");
                        anyhow::Ok(())
                    })
                    .await;
                    terminate(cluster, "projector")?;
                    ended_well(cluster, "projector").await?;
                    cluster.stack.start("projector").await?;
                }
                anyhow::Ok(())
            };
            let restarts = async {
                let restarted = restart_often().await;
                stop.send(true)?;
                restarted
            };
            let (paths, restarts) = tokio::join!(uploads, restarts);
            restarts?;
            cluster.settle().await;
            let mut client = cluster.client().await?;
            for (n, path) in (0..).zip(paths?) {
                let events = client.events(&path).await?;
                let uploads = events.iter().filter(|event| event.r#type == "highwater.file.uploaded.v1").count();
                assert_eq!(uploads, 1, "{path}: {events:?}");
                assert_eq!(client.get(&path).await?, Content::new(n, 1000 + n).bytes());
            }
            cluster.verify().await
        },
    );
}

#[test]
fn everything_stops_before_what_it_uses() {
    run(
        |b| b,
        async |cluster| {
            let stack = &cluster.stack;
            // One list of what has ended, in the order in which that became known.
            let ends = stack.ps().into_iter().map(|row| async move { (stack.wait_exit(&row.name).await, row.name) });
            let mut ends: FuturesUnordered<_> = ends.collect();
            let ended = async {
                let mut order = Vec::new();
                while let Some((exit, name)) = ends.next().await {
                    order.push((exit?, name));
                }
                anyhow::Ok(order)
            };
            let (stopped, order) = tokio::join!(stack.shutdown(), ended);
            stopped?;
            let order = order?;
            let mut kinds: Vec<&str> =
                order.iter().map(|(_, name)| name.split_once('-').map_or(name.as_str(), |(kind, _)| kind)).collect();
            kinds.dedup();
            assert_eq!(kinds, ["gateway", "replicator", "projector", "nats", "node", "postgres"], "{order:?}");
            let is_ours = |name: &str| ["gateway", "replicator", "projector"].iter().any(|kind| name.starts_with(kind));
            ensure!(order.iter().all(|(exit, name)| exit.is_success() || !is_ours(name)), "{order:?}");
            Ok(())
        },
    );
}
