//! More than one projector, one that sleeps through being replaced, and a catalog that is taken away under all of them.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use sqlx::{Connection as _, PgConnection};
use tests::{Client, Cluster, Content, eventually, reason_of, run};
use tokio::process::Child;
use tonic::Code;

use super::{active_schema, fill, sql};

/// Another projector; ended when dropped.
fn second(cluster: &Cluster) -> anyhow::Result<Child> {
    let mut command = cluster.stack.command("projector", ["run"])?;
    Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// Waits until an upload is decided, by whichever projector leads.
async fn decided(client: &mut Client, path: &str) {
    eventually(&format!("{path} is decided"), async || {
        let receipt = client.put(path, Content::new(5, 50)).await?;
        ensure!(receipt.projected, "{receipt:?}");
        anyhow::Ok(())
    })
    .await;
}

/// The connections that hold the lock of a generation, or ask for it: those of the projectors that lead.
async fn leaders(cluster: &Cluster) -> anyhow::Result<Vec<i32>> {
    let mut connection = PgConnection::connect(&cluster.stack.database_url()?).await?;
    let query = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid > 0 AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    let pids = sqlx::query_scalar(query).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(pids)
}

#[test]
fn a_leader_that_wakes_up_after_another_has_taken_over_folds_nothing() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            let [leader] = leaders(cluster).await?[..] else { anyhow::bail!("there is no single leader") };
            let mut other = second(cluster)?;
            cluster.stack.pause("projector").await?;
            let mut client = cluster.client().await?;
            // What Postgres does when it hears nothing more from the leader's machine.
            sql(cluster, format!("SELECT pg_terminate_backend({leader})")).await?;
            decided(&mut client, "by the other").await;
            let [other_leader] = leaders(cluster).await?[..] else { anyhow::bail!("there is no single leader") };
            assert_ne!(other_leader, leader);

            cluster.stack.resume("projector").await?;
            decided(&mut client, "while both run").await;
            eventually("the one that woke up has noticed", async || {
                let said = std::fs::read_to_string(cluster.stack.log("projector"))?;
                ensure!(said.contains("writing to") && said.contains("another projector holds it"), "{said}");
                anyhow::Ok(())
            })
            .await;
            assert_eq!(leaders(cluster).await?, [other_leader]);
            cluster.settle().await;
            cluster.verify().await?;

            other.kill().await?;
            decided(&mut client, "by the first again").await;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn a_leader_and_a_gateway_that_slept_over_a_switch_go_on_right_after_it() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            let mut client = cluster.client().await?;
            cluster.stack.pause("gateway").await?;
            cluster.stack.pause("projector").await?;
            let retired = active_schema(cluster).await?;
            let output = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(output.status.success(), "{output:?}");
            let _other = second(cluster)?;
            cluster.stack.resume("gateway").await?;
            // The first request, without a retry.
            assert_eq!(client.get("d1/f7").await?, Content::new(7, 1007).bytes());
            assert_eq!(client.put("with the other", Content::new(1, 10)).await?.size_bytes, 10);
            cluster.stack.resume("projector").await?;
            decided(&mut client, "with both").await;
            cluster.settle().await;
            cluster.verify().await?;
            // Nobody holds on to the old one.
            let output = cluster.projector(&["prune", "--json"]).await?;
            let pruned = super::report(&output)?;
            assert_eq!(pruned["generations"][0]["dropped"], true, "{pruned}");
            let number = pruned["generations"][0]["generation"].as_u64().context("no generation")?;
            assert_eq!(format!("highwater_g{number}"), retired);
            assert_eq!(client.get("d1/f7").await?, Content::new(7, 1007).bytes());
            Ok(())
        },
    );
}

#[test]
fn a_schema_dropped_under_running_services_is_told_and_rebuilt() {
    run(
        |b| b.env("gateway", "HIGHWATER_LIMITS__PROJECTION_WAIT", "2s"),
        async |cluster| {
            fill(cluster).await?;
            let mut client = cluster.client().await?;
            let schema = active_schema(cluster).await?;
            sql(cluster, format!("DROP SCHEMA {schema} CASCADE")).await?;
            let status = client.get("d1/f7").await.expect_err("no catalog");
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "catalog_unavailable"));
            // It is in the journal, whatever becomes of the catalog.
            let unknown = client.put("meanwhile", Content::new(1, 100)).await.expect_err("no catalog");
            assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
            eventually("the projector says what is wrong", async || {
                let said = std::fs::read_to_string(cluster.stack.log("projector"))?;
                ensure!(said.contains("schema is missing"), "{said}");
                anyhow::Ok(())
            })
            .await;

            let output = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(output.status.success(), "{output:?}");
            let bytes = eventually("reads work again", async || client.get("d1/f7").await).await;
            assert_eq!(bytes, Content::new(7, 1007).bytes());
            decided(&mut client, "after").await;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}
