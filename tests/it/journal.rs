//! A journal that is not safe, or not the one it was, is refused with a sentence; events that cannot be read have a fixed
//! fate.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use compose::{Builder, Stack, State};
use tests::{Cluster, Content, Nats, eventually, reason_of, run};

mod archive;
mod full;
mod lost;
mod recover;
mod restore;

const STREAM: &str = "HIGHWATER";

/// A cluster that gives the catalog as long as it takes to say which journal it was folded from.
fn patient(builder: Builder) -> Builder {
    let builder = builder.env("gateway", "HIGHWATER_WATCH__TIMEOUT", "1m");
    builder.env("gateway", "HIGHWATER_NATS__CHECK_INTERVAL", "500ms")
}

pub(crate) async fn jetstream(cluster: &Cluster) -> anyhow::Result<jetstream::Context> {
    Ok(jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a service that is expected to end by itself.
async fn refuses(cluster: &Cluster, program: &str, args: &[&str], code: i32, words: &[&str]) -> anyhow::Result<()> {
    let mut command = cluster.stack.command(program, args)?;
    let output = tokio::time::timeout(Duration::from_mins(1), command.output()).await.context(program.to_owned())??;
    let said = said(&output);
    ensure!(output.status.code() == Some(code), "{program} {args:?} ended with {}: {said}", output.status);
    for word in words {
        ensure!(said.contains(word), "{program} {args:?} does not say {word:?}: {said}");
    }
    Ok(())
}

#[test]
fn a_server_that_acknowledges_before_it_fsyncs_is_refused() {
    run(
        |b| b.services(false),
        async |cluster| {
            let nats = Nats::start("jetstream { store_dir: $DIR }").await?;
            for program in ["gateway", "replicator", "projector"] {
                cluster.stack.set_env(program, "HIGHWATER_NATS__URL", &nats.url)?;
                cluster.stack.set_env(program, "HIGHWATER_NATS__MONITOR_URL", &nats.monitor_url)?;
            }
            let migrated = cluster.projector(&["migrate"]).await?;
            ensure!(migrated.status.success(), "{}", said(&migrated));
            refuses(cluster, "gateway", &["init"], 70, &["sync_interval"]).await?;
            refuses(cluster, "gateway", &[], 70, &["sync_interval"]).await?;
            refuses(cluster, "replicator", &[], 70, &["sync_interval"]).await?;
            refuses(cluster, "projector", &[], 70, &["sync_interval"]).await?;
            is_not_called_ready(cluster, &nats).await
        },
    );
}

/// The runner tells a service that refuses from one that is ready, whenever it does.
async fn is_not_called_ready(cluster: &Cluster, nats: &Nats) -> anyhow::Result<()> {
    for (name, replicators) in [("projector", 0), ("replicator-1", 1)] {
        let builder = Stack::builder().init(false).gateway(false).projector(replicators == 0).replicators(replicators);
        let builder = builder.external_nats(&nats.url, Some(nats.monitor_url.clone()));
        let builder = builder.external_database(cluster.stack.database_url()?);
        let started = builder.external_nodes(cluster.stack.nodes().to_vec()).start().await;
        let error = format!("{:#}", started.err().with_context(|| format!("{name} is called ready"))?);
        ensure!(error.starts_with(&format!("{name} ended instead of getting ready (exit code 70)")), "{error}");
        ensure!(error.contains("sync_interval"), "{error}");
    }
    Ok(())
}

#[test]
fn a_stream_that_forgets_is_refused() {
    run(
        |b| b.replicators(1),
        async |cluster| {
            for name in ["gateway", "replicator-1", "projector"] {
                cluster.stack.stop(name).await?;
            }
            let jetstream = jetstream(cluster).await?;
            let mut config = jetstream.get_stream(STREAM).await?.cached_info().config.clone();
            config.max_age = Duration::from_hours(1);
            jetstream.update_stream(&config).await?;
            for program in ["gateway", "replicator", "projector"] {
                refuses(cluster, program, &[], 70, &["max_age"]).await?;
            }
            Ok(())
        },
    );
}

#[test]
fn another_stream_under_the_same_name_stops_writes_and_the_projector() {
    run(patient, async |cluster| {
        let mut client = cluster.client().await?;
        let content = Content::new(1, 5000);
        client.put("a", content).await?;
        cluster.settle().await;
        let jetstream = jetstream(cluster).await?;
        let mut config = jetstream.get_stream(STREAM).await?.cached_info().config.clone();
        jetstream.delete_stream(STREAM).await?;
        // Empty, it would be `lost`: nobody makes a new one while nodes carry markers.
        refuses(cluster, "gateway", &["init"], 70, &["journal", "lost"]).await?;
        for (key, value) in &mut config.metadata {
            if key.contains("incarnation") {
                *value = "00000000-0000-4000-8000-000000000000".to_owned();
            }
        }
        jetstream.create_stream(&config).await?;
        eventually("uploads are refused", async || {
            let status = match client.put("b", content).await {
                Ok(receipt) => anyhow::bail!("acknowledged: {receipt:?}"),
                Err(status) => status,
            };
            ensure!(reason_of(&status) == "journal_diverged", "{status:?}");
            Ok(())
        })
        .await;
        assert_eq!(client.get("a").await?, content.bytes(), "reads go on");
        eventually("the projector has halted", async || {
            let log = cluster.stack.log_tail("projector", 200);
            ensure!(log.contains("incarnation"), "{log}");
            Ok(())
        })
        .await;
        refuses(cluster, "projector", &[], 70, &["the catalog was folded from the journal"]).await?;
        cluster.stack.stop("gateway").await?;
        refuses(cluster, "gateway", &[], 70, &["journal has diverged", "has the incarnation 00000000"]).await
    });
}

#[test]
fn an_event_of_a_later_version_halts_the_projector_and_garbage_does_not() {
    run(
        |b| b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "300ms"),
        async |cluster| {
            let mut client = cluster.client().await?;
            let jetstream = jetstream(cluster).await?;
            jetstream.publish("hw.v1.file_uploaded", "garbage".into()).await?.await?;
            client.put("a", Content::new(1, 5000)).await?;
            let status = cluster.settle().await;
            assert_eq!(status.catalog.context("no catalog")?.undecodable_events, 1);
            cluster.verify().await?;

            let later = r#"{"specversion":"1.0","id":"x","type":"highwater.file.shared.v1"}"#;
            let ack = jetstream.publish("hw.v1.file_shared", later.into()).await?.await?;
            eventually("the projector has halted", async || {
                let state = cluster.stack.state("projector")?;
                let log = cluster.stack.log_tail("projector", 200);
                ensure!(log.contains("highwater.file.shared.v1"), "{state:?}: {log}");
                ensure!(!matches!(state, State::Stopped), "{state:?}");
                Ok(())
            })
            .await;
            let n = ack.sequence.to_string();
            refuses(cluster, "projector", &[], 70, &["highwater.file.shared.v1", &n]).await?;
            let receipt = client.put("b", Content::new(2, 5000)).await?;
            assert!(!receipt.projected, "safe in the journal, decided by a newer program");
            Ok(())
        },
    );
}
