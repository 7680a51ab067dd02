//! A rebuild goes on where one that was killed had come to, the catalog that it replaces is kept for a while, and what
//! differs is switched to only if somebody names it.

use std::process::{Output, Stdio};

use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tests::{Cluster, Content, eventually, run, said, signal};
use tokio::process::Child;

use super::{active_schema, fill, report, sql};

/// So many events take a rebuild that saves each by itself long enough to be caught.
const EVENTS: u64 = 400;

/// A rebuild that saves each event by itself.
fn slow(cluster: &Cluster, flags: &[&str]) -> anyhow::Result<Child> {
    let args = [&["rebuild", "--set", "projector.batch_events=1"], flags].concat();
    let mut command = cluster.stack.command("projector", args)?;
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?)
}

/// Makes the journal long with events that no version can decode: they are as good as any.
async fn lengthen(cluster: &Cluster) -> anyhow::Result<()> {
    let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
    let publish = |_| async { anyhow::Ok(jetstream.publish("hw.v1.file_uploaded", "no event".into()).await?.await?) };
    futures::future::try_join_all((0..EVENTS).map(publish)).await?;
    cluster.settle().await;
    Ok(())
}

/// The generations in this state, by number.
async fn generations(cluster: &Cluster, state: &str) -> anyhow::Result<Vec<i32>> {
    let mut connection = PgConnection::connect(&cluster.stack.database_url()?).await?;
    let query = "SELECT number FROM highwater.generations WHERE state = $1 ORDER BY number";
    let numbers = sqlx::query_scalar(query).bind(state).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(numbers)
}

/// The one generation that is being built, once it is folded further than event `n`; and how far.
async fn caught(cluster: &Cluster, n: i64) -> (i32, i64) {
    eventually(&format!("a generation is folded further than event {n}"), async || {
        let [generation] = generations(cluster, "building").await?[..] else { anyhow::bail!("there is no single one") };
        let mut connection = PgConnection::connect(&cluster.stack.database_url()?).await?;
        let query = AssertSqlSafe(format!("SELECT n FROM highwater_g{generation}.checkpoint"));
        let at: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
        connection.close().await?;
        ensure!(at > n, "it is at event {at}");
        anyhow::Ok((generation, at))
    })
    .await
}

/// The number in the sequence that a report has there.
fn number(report: &serde_json::Value, field: &str) -> anyhow::Result<u64> {
    let text = report[field].as_str().with_context(|| format!("no {field} in {report}"))?;
    Ok(text.rsplit('-').next().context("no number")?.parse()?)
}

async fn rebuild(cluster: &Cluster, flags: &[&str], code: i32) -> anyhow::Result<serde_json::Value> {
    let output = cluster.projector(&[&["rebuild", "--json"], flags].concat()).await?;
    ensure!(output.status.code() == Some(code), "{flags:?}: {output:?}");
    report(&output)
}

#[test]
fn a_rebuild_goes_on_where_a_killed_one_had_come_to() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            lengthen(cluster).await?;
            let mut killed = slow(cluster, &["--switch"])?;
            let (generation, first) = caught(cluster, 10).await;
            killed.kill().await?;

            // One that is asked to stop says that it, too, can be gone on with.
            let stopped = slow(cluster, &["--switch"])?;
            let (same, second) = caught(cluster, first + 10).await;
            assert_eq!(same, generation);
            signal("TERM", stopped.id().context("it has ended")?.into())?;
            let output: Output = stopped.wait_with_output().await?;
            ensure!(output.status.code() == Some(2), "{output:?}");
            let told = said(&output);
            ensure!(told.contains(&format!("going on with generation {generation} at event ")), "{told}");
            ensure!(told.contains("is kept, and the next `projector rebuild` goes on with it"), "{told}");

            // A verification makes its own, from the first event on, and leaves that one alone.
            cluster.verify().await?;
            let (same, _) = caught(cluster, second - 1).await;
            assert_eq!(same, generation);

            let built = rebuild(cluster, &["--switch"], 0).await?;
            assert_eq!(built["generation"], generation);
            let resumed_at = number(&built, "resumed_at")?;
            assert!(resumed_at >= second.cast_unsigned(), "{built}");
            assert_eq!(
                built["events"],
                number(&built, "sequence")? - resumed_at,
                "it counts what it has folded itself"
            );
            cluster.verify().await?;
            assert_eq!(generations(cluster, "building").await?, [0; 0]);
            cluster.client().await?.put("after", Content::new(1, 10)).await?;
            cluster.settle().await;
            cluster.verify().await
        },
    );
}

#[test]
fn what_cannot_be_gone_on_with_is_dropped() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            lengthen(cluster).await?;
            let mut killed = slow(cluster, &["--switch"])?;
            let (generation, _) = caught(cluster, 10).await;
            killed.kill().await?;
            // It says that another event stands at its checkpoint than this journal has.
            let schema = format!("highwater_g{generation}");
            sql(cluster, format!("UPDATE {schema}.checkpoint SET event_id = gen_random_uuid()")).await?;
            let output = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(output.status.success(), "{output:?}");
            ensure!(said(&output).contains(&format!("not going on with generation {generation}: ")), "{output:?}");
            assert_ne!(active_schema(cluster).await?, schema);
            assert_eq!(generations(cluster, "building").await?, [0; 0]);
            cluster.verify().await
        },
    );
}

#[test]
fn a_replaced_catalog_is_kept_until_the_next_switch_or_a_prune() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            let [first] = generations(cluster, "active").await?[..] else { anyhow::bail!("no active one") };
            let built = rebuild(cluster, &["--switch"], 0).await?;
            assert_eq!(built["kept_generation"], first);
            assert_eq!(generations(cluster, "retired").await?, [first]);
            let built = rebuild(cluster, &["--switch"], 0).await?;
            let second = i32::try_from(built["kept_generation"].as_i64().context("nothing is kept")?)?;
            assert_eq!(generations(cluster, "retired").await?, [second], "the older one was dropped");

            let prune =
                async |flags: &[&str]| report(&cluster.projector(&[&["prune", "--json"], flags].concat()).await?);
            let would = prune(&["--dry-run"]).await?;
            assert_eq!((&would["dry_run"], &would["freed_bytes"]), (&true.into(), &0.into()));
            assert_eq!(would["generations"][0]["generation"], second);
            assert_eq!(would["generations"][0]["dropped"], false);
            assert_eq!(generations(cluster, "retired").await?, [second]);
            let pruned = prune(&[]).await?;
            assert_eq!(pruned["generations"][0]["dropped"], true, "{pruned}");
            assert!(pruned["freed_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{pruned}");
            assert_eq!(generations(cluster, "retired").await?, [0; 0]);
            let words = cluster.projector(&["prune"]).await?;
            assert_eq!(String::from_utf8(words.stdout)?, "there is nothing to drop\n");
            assert_eq!(client.get("a").await?, Content::new(1, 5000).bytes());
            client.put("b", Content::new(2, 50)).await?;
            cluster.settle_catalog().await;
            cluster.verify().await
        },
    );
}

#[test]
fn differences_are_switched_to_only_if_all_their_tables_are_named() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let mut client = cluster.client().await?;
            let receipt = client.put("a", Content::new(1, 5000)).await?;
            let schema = active_schema(cluster).await?;
            for (table, column) in [("blobs", "size_bytes"), ("files", "created_seq")] {
                sql(cluster, format!("UPDATE {schema}.{table} SET {column} = {column} + 1")).await?;
            }
            let refused = rebuild(cluster, &["--verify", "--switch"], 1).await?;
            assert_eq!(
                (&refused["switched"], &refused["not_accepted"]),
                (&false.into(), &serde_json::json!(["blobs", "files"]))
            );
            for difference in refused["verified"]["differences"].as_array().context("no differences")? {
                let events = difference["events"].as_array().context("no events")?;
                assert!(events.contains(&receipt.sequence.clone().into()), "{difference}");
            }
            let accept = |tables: &'static str| ["--verify", "--switch", "--accept-differences", tables];
            let refused = rebuild(cluster, &accept("blobs"), 1).await?;
            assert_eq!(
                (&refused["switched"], &refused["not_accepted"]),
                (&false.into(), &serde_json::json!(["files"]))
            );
            assert_eq!(active_schema(cluster).await?, schema);
            let words = cluster.projector(&[&["rebuild"][..], &accept("blobs")].concat()).await?;
            let words = String::from_utf8(words.stdout)?;
            assert!(words.contains("not switched, since these tables differ: files; "), "{words}");

            let usage = cluster.projector(&[&["rebuild"][..], &accept("blobs,filez")].concat()).await?;
            assert_eq!(usage.status.code(), Some(64), "{usage:?}");

            let built = rebuild(cluster, &accept("files,nodes,blobs"), 0).await?;
            assert_eq!(
                (&built["switched"], &built["accepted"]),
                (&true.into(), &serde_json::json!(["blobs", "files"]))
            );
            assert_ne!(active_schema(cluster).await?, schema);
            cluster.verify().await
        },
    );
}
