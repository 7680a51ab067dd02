//! The catalog is disposable: equal to the fold of the journal, rebuilt when it is gone.

use std::process::Output;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::{Cluster, Content, eventually, run};

mod disk;
mod projectors;
mod rebuild;
mod slice;

fn report(output: &Output) -> anyhow::Result<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().with_context(|| format!("nothing printed: {output:?}"))?;
    serde_json::from_str(line).with_context(|| line.to_owned())
}

pub(crate) async fn sql(cluster: &Cluster, statement: String) -> anyhow::Result<u64> {
    let mut connection = PgConnection::connect(&cluster.stack.database_url()?).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(done.rows_affected())
}

/// The schema of the generation that is active.
pub(crate) async fn active_schema(cluster: &Cluster) -> anyhow::Result<String> {
    let mut connection = PgConnection::connect(&cluster.stack.database_url()?).await?;
    let number: i32 =
        sqlx::query_scalar("SELECT generation::int4 FROM highwater.active").fetch_one(&mut connection).await?;
    Ok(format!("highwater_g{number}"))
}

async fn fill(cluster: &Cluster) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    for n in 0..30 {
        client.put(&format!("d{}/f{n}", n % 3), Content::new(n, 1000 + n)).await?;
    }
    client.put("d0", Content::new(99, 5)).await?;
    cluster.settle().await;
    Ok(())
}

#[test]
fn verify_finds_a_flipped_cell_and_rebuild_mends_it() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            let output = cluster.projector(&["verify", "--json"]).await?;
            ensure!(output.status.code() == Some(0), "{output:?}");
            let before = report(&output)?;
            assert_eq!(before["equal"], true);
            assert_eq!(before["digest_live"], before["digest_rebuilt"]);

            let schema = active_schema(cluster).await?;
            sql(cluster, format!("UPDATE {schema}.blobs SET size_bytes = size_bytes + 1 WHERE size_bytes = 1007"))
                .await?;
            let output = cluster.projector(&["verify", "--json"]).await?;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let after = report(&output)?;
            assert_eq!(after["equal"], false);
            assert_ne!(after["digest_live"], after["digest_rebuilt"]);
            assert!(after["differences"].to_string().contains("1008"), "{after}");

            let output = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(output.status.success(), "{output:?}");
            let output = cluster.projector(&["verify", "--json"]).await?;
            ensure!(output.status.code() == Some(0), "{output:?}");
            let mended = report(&output)?;
            assert_eq!(mended["digest_live"], before["digest_live"]);
            // The gateway and the projector go on with the new generation.
            let mut client = cluster.client().await?;
            assert_eq!(client.get("d1/f7").await?, Content::new(7, 1007).bytes());
            let receipt = client.put("after", Content::new(1, 10)).await?;
            assert!(receipt.projected);
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn a_dropped_catalog_is_rebuilt_from_the_journal() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            let before = report(&cluster.projector(&["verify", "--json"]).await?)?;
            cluster.stack.stop("projector").await?;
            let url = url::Url::parse(&cluster.stack.database_url()?)?;
            let database = url.path().trim_start_matches('/').to_owned();
            for (program, args) in [("dropdb", vec!["--force", &database]), ("createdb", vec![&database])] {
                let mut command = tokio::process::Command::new(cluster.stack.postgres_program(program)?);
                let output = command.args(&args).envs(cluster.stack.postgres_env()?).output().await?;
                ensure!(output.status.success(), "{program}: {output:?}");
            }
            let mut client = cluster.client().await?;
            let status = client.get("d1/f7").await.expect_err("no catalog");
            assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
            for args in [&["migrate"][..], &["rebuild", "--switch"]] {
                let output = cluster.projector(args).await?;
                ensure!(output.status.success(), "{args:?}: {output:?}");
            }
            cluster.stack.start("projector").await?;
            let bytes = eventually("reads work again", async || client.get("d1/f7").await).await;
            assert_eq!(bytes, Content::new(7, 1007).bytes());
            cluster.settle().await;
            let after = report(&cluster.projector(&["verify", "--json"]).await?)?;
            assert_eq!(after["digest_live"], before["digest_live"]);
            assert_eq!(after["equal"], true);
            Ok(())
        },
    );
}

#[test]
fn verify_that_cannot_compare_says_so() {
    run(
        |b| b,
        async |cluster| {
            cluster.stack.stop("postgres").await?;
            let mut command = cluster.stack.command("projector", ["verify", "--json"])?;
            command.env("HIGHWATER_DATABASE__ACQUIRE_TIMEOUT", "1s");
            let output = tokio::time::timeout(std::time::Duration::from_mins(1), command.output()).await??;
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            cluster.stack.start("postgres").await
        },
    );
}

#[test]
fn two_projectors_do_not_disturb_each_other() {
    run(
        |b| b,
        async |cluster| {
            let mut second = cluster.stack.command("projector", ["run"])?.spawn()?;
            fill(cluster).await?;
            cluster.stack.kill("projector").await?;
            let mut client = cluster.client().await?;
            eventually("the other one goes on", async || {
                let receipt = client.put("x", Content::new(5, 50)).await?;
                ensure!(receipt.projected, "{receipt:?}");
                anyhow::Ok(())
            })
            .await;
            cluster.stack.start("projector").await?;
            cluster.settle().await;
            cluster.verify().await?;
            second.kill().await?;
            Ok(())
        },
    );
}
