//! The lines to the journal and to the catalog are slow, narrow, cut or dead for one service at a time: who asks is told so
//! or waits, nothing that was acknowledged is lost, no service ends, and what was missed is caught up once the line is well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use compose::{Builder, State};
use futures::future::join_all;
use proto::v1::{Receipt, UploadMetadata};
use tests::{Client, Cluster, Content, Link, chunks, eventually, metadata, reason_of, run};
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Uploads that meet each fault: half of them are under way when it begins.
const UPLOADS: usize = 6;
const SIZE: u64 = 3000;
/// What every answer comes within, far above the bounds that these clusters have: longer is no answer.
const UNANSWERED: Duration = Duration::from_mins(1);

/// A fault, and how it comes to its end.
struct Fault {
    name: &'static str,
    begin: fn(&Link),
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything works meanwhile.
    Harmless,
    /// New connections are well at once.
    ByItself,
    /// Nothing passes until the line is healed.
    Healed,
}

const FAULTS: [Fault; 5] = [
    Fault { name: "delay", begin: |line| line.delay(Duration::from_millis(100)), end: End::Harmless },
    Fault { name: "rate", begin: |line| line.rate(128 * 1024), end: End::Harmless },
    Fault { name: "reset", begin: Link::reset, end: End::ByItself },
    Fault { name: "half-open", begin: Link::half_open, end: End::ByItself },
    Fault { name: "blackhole", begin: Link::blackhole, end: End::Healed },
];

/// A line that is bad for one service.
struct BadLine<'a> {
    cluster: &'a Cluster,
    line: &'a Link,
    /// What uploads, and downloads, may be refused with meanwhile; nothing: they go on.
    uploads: &'a [&'a str],
    downloads: &'a [&'a str],
}

/// Bounds that are short, so that their ends are seen.
fn bounded(builder: Builder) -> Builder {
    let settings = [
        ("HIGHWATER_LIMITS__PROJECTION_WAIT", "1s"),
        ("HIGHWATER_NATS__PUBLISH_MAX_ELAPSED", "2s"),
        ("HIGHWATER_NATS__REQUEST_TIMEOUT", "2s"),
    ];
    let builder = settings.into_iter().fold(builder, |b, (key, value)| b.env("gateway", key, value));
    // A connection that is dead and does not say so is given up after this.
    ["gateway", "projector"].into_iter().fold(builder, |b, service| {
        b.env(service, "HIGHWATER_DATABASE__READ_TIMEOUT", "2s").env(
            service,
            "HIGHWATER_DATABASE__ACQUIRE_TIMEOUT",
            "2s",
        )
    })
}

fn programs(cluster: &Cluster) -> BTreeMap<String, Option<u32>> {
    cluster.stack.ps().into_iter().map(|row| (row.name, row.pid)).collect()
}

/// The answer, which is either good or a refusal that says why and when to ask again.
async fn answered<T>(
    what: &str,
    may_be: &[&str],
    ask: impl Future<Output = Result<T, Status>>,
) -> anyhow::Result<Option<T>> {
    match timeout(UNANSWERED, ask).await.with_context(|| format!("{what} is not answered"))? {
        Ok(answer) => Ok(Some(answer)),
        Err(status) => {
            let reason = reason_of(&status);
            ensure!(status.code() == Code::Unavailable && may_be.contains(&reason.as_str()), "{what}: {status:?}");
            ensure!(status.get_details_retry_info().is_some(), "{what}: {status:?}");
            Ok(None)
        }
    }
}

/// Uploads under a request id: the same again is the same change.
async fn put(client: &mut Client, path: &str, content: Content) -> Result<Receipt, Status> {
    client.upload(UploadMetadata { request_id: path.to_owned(), ..metadata(path) }, chunks(content)).await
}

impl BadLine<'_> {
    /// Lets every fault happen, one after the other.
    async fn every_fault(&self) -> anyhow::Result<()> {
        let before = programs(self.cluster);
        let known = Content::new(1, SIZE);
        self.cluster.client().await?.put("known", known).await?;
        let mut files = BTreeMap::from([("known".to_owned(), known)]);
        for (n, fault) in (1..).zip(&FAULTS) {
            self.cluster.settle().await;
            let carried = self.line.carried();
            let made = self.meets(fault, n * 100, known).await.with_context(|| fault.name)?;
            files.extend(made);
            self.cluster.settle().await;
            ensure!(self.line.carried() > carried, "the line was not used: {}", fault.name);
        }
        for (path, content) in &files {
            self.cluster.replicated(path, 3).await;
            ensure!(self.cluster.client().await?.get(path).await? == content.bytes(), "{path} has other bytes");
        }
        for node in self.cluster.settle().await.nodes {
            // What was asked for again is one change.
            ensure!((node.blobs_stored, node.blobs_parked) == (files.len() as u64, 0), "{node:?}");
        }
        ensure!(self.cluster.stack.ps().iter().all(|row| row.state == State::Running));
        assert_eq!(programs(self.cluster), before, "a program was started again");
        self.cluster.verify().await
    }

    /// Uploads and downloads while the fault begins and holds; once it has ended, what was refused is taken.
    async fn meets(&self, fault: &Fault, seed: u64, known: Content) -> anyhow::Result<BTreeMap<String, Content>> {
        let (uploads, downloads) =
            if fault.end == End::Harmless { (&[][..], &[][..]) } else { (self.uploads, self.downloads) };
        let client = self.cluster.client().await?;
        let files: BTreeMap<String, Content> =
            (seed..).take(UPLOADS).map(|n| (format!("{}/{n}", fault.name), Content::new(n, SIZE))).collect();
        let ask = async |mut client: Client, path: &str, content: Content| {
            let receipt = answered(path, uploads, put(&mut client, path, content)).await?;
            anyhow::Ok(receipt.map(|_| path.to_owned()))
        };
        let under_way = UPLOADS / 2;
        let first = files.iter().take(under_way).map(|(path, content)| ask(client.clone(), path, *content));
        let begin = async {
            (fault.begin)(self.line);
            let later = files.iter().skip(under_way);
            join_all(later.map(|(path, content)| ask(client.clone(), path, *content))).await
        };
        let (first, later) = tokio::join!(join_all(first), begin);
        let taken: BTreeSet<String> =
            first.into_iter().chain(later).filter_map(Result::transpose).collect::<anyhow::Result<_>>()?;
        let read = answered("the download", downloads, client.clone().get("known")).await?;
        ensure!(read.is_none_or(|bytes| bytes == known.bytes()), "other bytes");
        if fault.end == End::Healed {
            let refused = UPLOADS - taken.len();
            ensure!(self.uploads.is_empty() || refused >= UPLOADS - under_way, "taken: {taken:?}");
        }
        if fault.end != End::ByItself {
            self.line.heal();
        }
        for (path, content) in files.iter().filter(|(path, _)| !taken.contains(*path)) {
            eventually(&format!("{path} is taken"), async || {
                put(&mut self.cluster.client().await?, path, *content).await.map_err(anyhow::Error::from)
            })
            .await;
        }
        Ok(files)
    }
}

#[test]
fn a_gateway_whose_line_to_the_journal_is_bad() {
    run(bounded, async |cluster| {
        let line = Link::to_nats(cluster, "gateway").await?;
        cluster.stack.restart("gateway").await?;
        BadLine { cluster, line: &line, uploads: &["journal_unavailable"], downloads: &[] }.every_fault().await
    });
}

#[test]
fn a_gateway_whose_line_to_the_catalog_is_bad() {
    run(bounded, async |cluster| {
        let line = Link::to_postgres(cluster, "gateway").await?;
        cluster.stack.restart("gateway").await?;
        let downloads = &["catalog_unavailable"];
        // What became of an upload that is in the journal cannot be read then.
        let uploads = &["catalog_unavailable", "outcome_pending"];
        BadLine { cluster, line: &line, uploads, downloads }.every_fault().await
    });
}

#[test]
fn a_gateway_whose_reading_connection_to_the_catalog_is_dead() {
    // The connections that the gateway makes first tell it of news, and live on: only reads meet the one that is dead.
    const WATCHING: u64 = 2;
    let one = |b: Builder| bounded(b).env("gateway", "HIGHWATER_DATABASE__MAX_CONNECTIONS", "1");
    run(one, async |cluster| {
        let line = Link::to_postgres(cluster, "gateway").await?;
        cluster.stack.restart("gateway").await?;
        let mut client = cluster.client().await?;
        let known = Content::new(1, SIZE);
        client.put("known", known).await?;
        cluster.settle().await;
        line.half_open_but(WATCHING);
        let bytes = eventually("downloads work again", async || {
            let read = answered("the download", &["catalog_unavailable"], client.get("known")).await?;
            read.context("it was refused")
        })
        .await;
        assert_eq!(bytes, known.bytes());
        let said = std::fs::read_to_string(cluster.stack.log("gateway"))?;
        ensure!(!said.contains("waiting for the catalog: Postgres"), "the wrong connections were dead");
        client.put("later", known).await?;
        cluster.settle().await;
        cluster.verify().await
    });
}

#[test]
fn a_projector_whose_line_to_the_journal_is_bad() {
    run(bounded, async |cluster| {
        let line = Link::to_nats(cluster, "projector").await?;
        cluster.stack.restart("projector").await?;
        BadLine { cluster, line: &line, uploads: &[], downloads: &[] }.every_fault().await
    });
}

#[test]
fn a_projector_whose_line_to_the_catalog_is_bad() {
    run(bounded, async |cluster| {
        let line = Link::to_postgres(cluster, "projector").await?;
        cluster.stack.restart("projector").await?;
        BadLine { cluster, line: &line, uploads: &[], downloads: &[] }.every_fault().await
    });
}

#[test]
fn replicators_whose_line_to_the_journal_is_bad() {
    run(
        |b| bounded(b).replicators(0),
        async |cluster| {
            let line = Link::to_nats(cluster, "replicator").await?;
            cluster.stack.scale(2).await?;
            BadLine { cluster, line: &line, uploads: &[], downloads: &[] }.every_fault().await
        },
    );
}

#[test]
fn a_blob_that_takes_long_on_a_narrow_line_arrives() {
    run(
        |b| b.replicators(0).env("replicator", "HIGHWATER_BLOBS__OPERATION_TIMEOUT", "2s"),
        async |cluster| {
            let links = Link::to_nodes(cluster, "replicator").await?;
            let receipt = cluster.client().await?.put("long", Content::new(1, 1024 * 1024)).await?;
            let targets = cluster.stack.nodes().iter().zip(&links).filter(|(node, _)| node.id != receipt.node);
            for (_, line) in targets {
                line.delay(Duration::from_millis(200));
                line.rate(64 * 1024);
            }
            cluster.stack.scale(1).await?;
            cluster.replicated("long", 3).await;
            let carried: u64 = links.iter().map(Link::carried).max().unwrap_or_default();
            assert!(carried < 3 * 1024 * 1024, "it was sent again and again: {carried} bytes");
            cluster.verify().await
        },
    );
}
