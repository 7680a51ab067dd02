//! Servers that somebody else runs: `compose up` starts only what is not given.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use compose::{Stack, State};
use proto::v1::ReplicaState;
use tests::{Cluster, Content, Runner, eventually, run, signal};

const SERVICES: [&str; 4] = ["projector", "replicator-1", "replicator-2", "gateway"];
const SERVERS: [&str; 5] = ["postgres", "nats", "node-a", "node-b", "node-c"];

/// Writes the nodes of a cluster as a user would list them: with the secrets beside the list.
fn write_nodes(cluster: &Cluster, folder: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for node in cluster.stack.nodes() {
        let secret = format!("{}.secret", node.id);
        std::fs::copy(&node.secret_key_file, folder.join(&secret))?;
        writeln!(text, "[[nodes]]\nid = {:?}\nendpoint = {:?}\nregion = {:?}", node.id, node.endpoint, node.region)?;
        writeln!(text, "bucket = {:?}\naccess_key = {:?}", node.bucket, node.access_key)?;
        writeln!(text, "secret_key_file = {secret:?}")?;
    }
    let path = folder.join("nodes.toml");
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// Uploads, waits until all three nodes have it, and downloads.
async fn check_works(runner: &Runner) -> anyhow::Result<()> {
    for (path, size) in [("small", 5000), ("large", 20 * 1024 * 1024)] {
        let content = Content::new(size, size);
        let mut client = runner.client_after(path, content).await;
        eventually(&format!("{path} is on three nodes"), async || {
            let file = client.file(path).await?;
            let stored = file.replicas.iter().filter(|replica| replica.state() == ReplicaState::Stored).count();
            ensure!(stored == 3, "{:?}", file.replicas);
            Ok(())
        })
        .await;
        assert_eq!(client.get(path).await?, content.bytes(), "{path}");
    }
    Ok(())
}

fn names(runner: &Runner) -> anyhow::Result<Vec<String>> {
    Ok(runner.rows()?.into_iter().map(|row| row.name).collect())
}

async fn stop(runner: &mut Runner) -> anyhow::Result<()> {
    let pids: Vec<u32> = runner.rows()?.iter().filter_map(|row| row.pid).collect();
    signal("INT", -i64::from(runner.up_pid()?))?;
    assert_eq!(runner.ended().await?.code(), Some(0), "{}", runner.up_said());
    runner.nothing_left(&pids).await;
    Ok(())
}

#[test]
fn with_all_servers_given_only_the_services_are_started() {
    run(
        |b| b.services(false),
        async |cluster| {
            let stack = &cluster.stack;
            let runner = Runner::new()?;
            let nodes = write_nodes(cluster, runner.folder())?;
            let mut runner = runner
                .env("NATS_URL", stack.nats_url()?)
                .env("HIGHWATER_NATS__MONITOR_URL", stack.nats_monitor_url().context("no monitor")?)
                .env("DATABASE_URL", stack.database_url()?)
                .env("NODES_FILE", nodes);
            runner.up(&SERVICES).await?;
            assert_eq!(names(&runner)?, SERVICES);
            check_works(&runner).await?;
            let blobs = crate::s3::blobs(cluster).await?;
            ensure!(!blobs.is_empty(), "the bytes are not on the nodes that were given");
            stop(&mut runner).await?;
            for name in SERVERS {
                ensure!(matches!(stack.state(name)?, State::Running), "{name} was stopped, too");
            }
            // What was uploaded is theirs: another run on data of its own serves it.
            runner.must(&["reset"])?;
            runner.up(&SERVICES).await?;
            let mut client = runner.client_after("new", Content::new(1, 10)).await;
            assert_eq!(client.get("small").await?, Content::new(5000, 5000).bytes());
            stop(&mut runner).await
        },
    );
}

#[test]
fn with_some_servers_given_the_others_are_started() {
    run(
        |b| b.services(false),
        async |cluster| {
            let mut runner = Runner::new()?
                .env("NATS_URL", cluster.stack.nats_url()?)
                .env("HIGHWATER_NATS__MONITOR_URL", cluster.stack.nats_monitor_url().context("no monitor")?);
            let expected =
                ["postgres", "node-a", "node-b", "node-c", "projector", "replicator-1", "replicator-2", "gateway"];
            runner.up(&expected).await?;
            assert_eq!(names(&runner)?, expected);
            check_works(&runner).await?;
            let blobs = crate::s3::blobs(cluster).await;
            ensure!(blobs.is_err(), "there is no bucket on nodes that were not given, but there is: {blobs:?}");
            stop(&mut runner).await
        },
    );
}

#[test]
fn a_stack_of_the_library_uses_what_it_is_given() {
    run(
        |b| b.services(false),
        async |servers| {
            let given = &servers.stack;
            let stack = Stack::builder()
                .external_nats(given.nats_url()?, given.nats_monitor_url())
                .external_database(given.database_url()?)
                .external_nodes(given.nodes().to_vec())
                .replicators(1)
                .start()
                .await?;
            let cluster = Cluster::new(stack)?;
            let names: Vec<String> = cluster.stack.ps().into_iter().map(|row| row.name).collect();
            let content = Content::new(1, 5000);
            let used = async {
                cluster.client().await?.put("a", content).await?;
                cluster.replicated("a", 3).await;
                let bytes = cluster.client().await?.get("a").await?;
                cluster.verify().await?;
                anyhow::Ok(bytes)
            }
            .await;
            cluster.stack.shutdown().await?;
            assert_eq!(used?, content.bytes());
            assert_eq!(names, ["projector", "replicator-1", "gateway"]);
            assert_eq!(crate::s3::blobs(servers).await?.len(), 3, "one blob on three nodes");
            Ok(())
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nodes_file_that_cannot_be_used_is_refused() -> anyhow::Result<()> {
    let runner = Runner::new()?;
    let file = runner.folder().join("nodes.toml");
    let shown = file.display().to_string();
    let runner = runner.env("NODES_FILE", &shown);
    let none = runner.refused(&["up"], 64)?;
    ensure!(none.contains(&format!("read the nodes file {shown}")) && none.contains("No such file"), "{none}");
    for (text, word) in
        [("[[nodes]]\nid = 'node-a'\n", "endpoint"), ("nodes = 7\n", "nodes"), ("[[nodes]]\nidd = 'a'\n", "idd")]
    {
        std::fs::write(&file, text)?;
        let why = runner.refused(&["up"], 64)?;
        ensure!(why.contains(&shown) && why.contains(word), "{why}");
    }
    runner.nothing_left(&[]).await;
    ensure!(!runner.data().exists(), "nothing is made");
    Ok(())
}
