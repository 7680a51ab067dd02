//! What `--json` prints, field by field, and how the programs end. Scripts rely on it: a change here breaks them.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use anyhow::{Context as _, ensure};
use proto::v1;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tests::{Content, eventually, run};

mod redact;
mod verbs;

pub use redact::Redact;

/// The output of a program that ended well and said nothing else.
fn answer(output: &Output) -> anyhow::Result<&[u8]> {
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(output.stderr.is_empty(), "with --json nothing else is said: {output:?}");
    Ok(&output.stdout)
}

/// The one line of a program that failed.
fn error(output: &Output, code: i32) -> anyhow::Result<&[u8]> {
    ensure!(output.status.code() == Some(code), "not {code}: {output:?}");
    ensure!(output.stdout.is_empty(), "no answer: {output:?}");
    ensure!(output.stderr.split_inclusive(|byte| *byte == b'\n').count() == 1, "one line: {output:?}");
    Ok(&output.stderr)
}

#[test]
fn answers_of_every_command_have_a_fixed_shape() {
    run(
        |b| b.env("replicator", "HIGHWATER_REPLICATOR__ARCHIVE_SAVE_WITHIN", "100ms"),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let redact = Redact::new(cluster, folder.path())?;
            let (source, target) = (folder.path().join("june.txt"), folder.path().join("copy.txt"));
            std::fs::write(&source, Content::new(1, 5000).bytes())?;
            let (source, target) = (source.display().to_string(), target.display().to_string());
            let said = async |args: &[&str]| -> anyhow::Result<String> {
                let output = cluster.highwater(&[args, &["--json"]].concat()).await?;
                redact.lines(answer(&output).with_context(|| args.join(" "))?)
            };
            let put = ["put", &source, "reports/june.txt", "--content-type", "text/plain", "--actor", "alice"];
            insta::assert_snapshot!("put", said(&put).await?);
            cluster.settle().await;
            insta::assert_snapshot!("get", said(&["get", "reports/june.txt", &target]).await?);
            assert_eq!(std::fs::read(&target)?, Content::new(1, 5000).bytes());
            insta::assert_snapshot!("stat", said(&["stat", "reports/june.txt"]).await?);
            insta::assert_snapshot!("events", said(&["events", "reports/june.txt"]).await?);
            cluster.client().await?.put("reports/empty", Content::new(2, 0)).await?;
            cluster.settle().await;
            insta::assert_snapshot!("ls", said(&["ls", "reports"]).await?);
            eventually("the nodes that have joined are filled, and have the journal", async || {
                let nodes = cluster.client().await?.status().await?.nodes;
                let is_done = |node: &v1::Node| node.refill.is_none() && !node.archived_sequence.is_empty();
                ensure!(nodes.iter().all(is_done), "{nodes:?}");
                anyhow::Ok(())
            })
            .await;
            insta::assert_snapshot!("status", said(&["status"]).await?);
            Ok(())
        },
    );
}

#[test]
fn errors_have_a_fixed_shape_and_every_kind_an_exit_code() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let redact = Redact::new(cluster, folder.path())?;
            let missing = folder.path().join("missing.txt").display().to_string();
            let said = async |code: i32, args: &[&str]| -> anyhow::Result<String> {
                let output = cluster.highwater(&[args, &["--json"]].concat()).await?;
                redact.lines(error(&output, code).with_context(|| args.join(" "))?)
            };
            insta::assert_snapshot!("usage", said(2, &["ls", "--page-size", "many"]).await?);
            insta::assert_snapshot!("path_invalid", said(2, &["stat", "a/../b"]).await?);
            insta::assert_snapshot!("folder_not_found", said(3, &["ls", "nothing/here"]).await?);
            insta::assert_snapshot!("space_not_found", said(3, &["stat", "a", "--space", "other"]).await?);
            for command in ["get", "stat", "events"] {
                insta::assert_snapshot!(format!("file_not_found_{command}"), said(4, &[command, "nothing"]).await?);
            }
            insta::assert_snapshot!("local_file_not_found", said(4, &["put", &missing, "a"]).await?);
            // A gRPC server that is no Highwater: trying again will not help.
            let (addr, _server) = stranger().await?;
            let output = cluster.highwater(&["status", "--json", "--addr", &addr]).await?;
            insta::assert_snapshot!("fatal", redact.lines(error(&output, 7)?)?);
            cluster.stack.stop("postgres").await?;
            insta::assert_snapshot!("catalog_unavailable", said(5, &["stat", "a"]).await?);
            cluster.stack.stop("gateway").await?;
            insta::assert_snapshot!("gateway_down", said(5, &["status"]).await?);
            let text = cluster.highwater(&["status"]).await?;
            assert_eq!(text.status.code(), Some(5), "{text:?}");
            assert!(text.stdout.is_empty() && !text.stderr.starts_with(b"{"), "words for people: {text:?}");
            Ok(())
        },
    );
}

/// Which fields the rows of each table have: their order follows from ids.
fn fields_of_rows(told: &[u8]) -> anyhow::Result<String> {
    let mut tables = BTreeMap::new();
    for line in serde_json::Deserializer::from_slice(told).into_iter::<Value>() {
        let line = line?;
        let Some(table) = line["table"].as_str() else { continue };
        ensure!(line.as_object().is_some_and(|line| line.len() == 2), "{line}");
        let row = line["row"].as_object().with_context(|| line.to_string())?;
        tables.insert(table.to_owned(), row.keys().cloned().collect::<BTreeSet<_>>());
    }
    Ok(format!("{tables:#?}"))
}

#[test]
fn the_tools_of_the_journal_have_fixed_shapes() {
    run(
        |b| b.replicators(1).env("replicator", "HIGHWATER_REPLICATOR__ARCHIVE_SAVE_WITHIN", "100ms"),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let redact = Redact::new(cluster, folder.path())?;
            cluster.client().await?.put("a", Content::new(1, 5000)).await?;
            cluster.settle().await;
            let verified = eventually("every node has the whole journal", async || {
                let output = cluster.output("gateway", &["journal", "verify", "--json"]).await?;
                let told: Value = serde_json::from_slice(answer(&output)?)?;
                let head = told["sequence"].as_str().and_then(|text| text.rsplit_once('-')).context("no head")?.1;
                let is_whole =
                    |archive: &Value| archive["archived"].as_u64().map(|n| n.to_string()) == Some(head.to_owned());
                let archives = told["archives"].as_array().context("no archives")?;
                ensure!(archives.len() == 3 && archives.iter().all(is_whole), "{told}");
                Ok(output)
            })
            .await;
            insta::assert_snapshot!("journal_verify", redact.lines(answer(&verified)?)?);
            for service in ["gateway", "replicator-1", "projector"] {
                cluster.stack.stop(service).await?;
            }
            let restored = cluster.output("gateway", &["journal", "restore", "--dry-run", "--json"]).await?;
            insta::assert_snapshot!("journal_restore", redact.lines(answer(&restored)?)?);
            Ok(())
        },
    );
}

/// A gRPC server that offers nothing but health.
async fn stranger() -> anyhow::Result<(String, tokio::task::JoinSet<()>)> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let addr = format!("http://{}", listener.local_addr()?);
    let (_, health) = tonic_health::server::health_reporter();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let connections = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder().add_service(health).serve_with_incoming(connections).await.unwrap();
    });
    Ok((addr, server))
}

#[test]
fn the_projectors_tools_have_fixed_shapes_and_exit_codes() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let redact = Redact::new(cluster, folder.path())?;
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 5000)).await?;
            let said = async |args: &[&str]| -> anyhow::Result<String> {
                let output = cluster.projector(&[args, &["--json"]].concat()).await?;
                redact.lines(answer(&output).with_context(|| args.join(" "))?)
            };
            insta::assert_snapshot!("verify_equal", said(&["verify"]).await?);
            insta::assert_snapshot!("rebuild", said(&["rebuild", "--verify"]).await?);
            insta::assert_snapshot!("rebuild_switched", said(&["rebuild", "--switch"]).await?);
            insta::assert_snapshot!("prune_dry_run", said(&["prune", "--dry-run"]).await?);
            insta::assert_snapshot!("prune", said(&["prune"]).await?);
            let slice = folder.path().join("slice.jsonl").display().to_string();
            let exported = cluster.projector(&["export", "--out", &slice]).await?;
            ensure!(exported.status.success(), "{exported:?}");
            insta::assert_snapshot!("fold_events", said(&["fold", "--from", &slice, "--events"]).await?);
            let rows = cluster.projector(&["fold", "--from", &slice, "--rows", "--json"]).await?;
            insta::assert_snapshot!("fold_rows", fields_of_rows(answer(&rows)?)?);
            insta::assert_snapshot!("migrate", said(&["migrate"]).await?);

            let mut database = PgConnection::connect(&cluster.stack.database_url()?).await?;
            let generation: i32 =
                sqlx::query_scalar("SELECT generation::int4 FROM highwater.active").fetch_one(&mut database).await?;
            let flip = format!("UPDATE highwater_g{generation}.blobs SET size_bytes = size_bytes + 1");
            sqlx::raw_sql(sqlx::AssertSqlSafe(flip)).execute(&mut database).await?;
            database.close().await?;
            let output = cluster.projector(&["verify", "--json"]).await?;
            ensure!(output.status.code() == Some(1) && output.stderr.is_empty(), "{output:?}");
            insta::assert_snapshot!("verify_different", redact.lines(&output.stdout)?);

            let failed = async |code: i32, args: &[&str]| -> anyhow::Result<String> {
                let output = cluster.projector(&[args, &["--json"]].concat()).await?;
                redact.lines(error(&output, code).with_context(|| args.join(" "))?)
            };
            insta::assert_snapshot!("projector_usage", failed(64, &["verify", "--nonsense"]).await?);
            insta::assert_snapshot!("projector_config", failed(64, &["verify", "--set", "nats.urll=x"]).await?);
            cluster.stack.stop("postgres").await?;
            insta::assert_snapshot!("verify_could_not_compare", failed(2, &["verify"]).await?);
            insta::assert_snapshot!("rebuild_could_not", failed(2, &["rebuild"]).await?);
            insta::assert_snapshot!("migrate_could_not", failed(2, &["migrate"]).await?);
            Ok(())
        },
    );
}
