//! A slice of the journal as a file: written, and folded again without any server.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::{Cluster, Content, run, said};

use super::fill;

async fn refused(cluster: &Cluster, args: &[&str], words: &str) -> anyhow::Result<()> {
    let output = cluster.projector(args).await?;
    ensure!(output.status.code() == Some(2), "{args:?}: {output:?}");
    ensure!(said(&output).contains(words), "{args:?} does not say {words:?}: {}", said(&output));
    Ok(())
}

#[test]
fn a_slice_folds_to_the_same_rows_without_a_server() {
    run(
        |b| b,
        async |cluster| {
            fill(cluster).await?;
            let mut client = cluster.client().await?;
            let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
            jetstream.publish("hw.v1.file_uploaded", "{\"no\":\n\"event\"}".into()).await?.await?;
            client.put("after \"quotes\" and é", Content::new(7, 77)).await?;
            cluster.settle().await;
            cluster.verify().await?;

            let folder = tempfile::tempdir()?;
            let file = folder.path().join("slice.jsonl");
            let path = file.to_str().context("no UTF-8")?;
            let output = cluster.projector(&["export", "--out", path]).await?;
            ensure!(output.status.success(), "{output:?}");
            let whole = cluster.fold_slice(&[]).await?;
            let piped = cluster.projector(&["export"]).await?;
            ensure!(piped.stdout == std::fs::read(&file)?, "standard output gets the same bytes");

            // From here on no server is needed.
            for name in ["gateway", "replicator-1", "projector", "nats", "postgres", "node-a"] {
                cluster.stack.stop(name).await?;
            }
            let output = cluster.projector(&["fold", "--from", path, "--events", "--rows", "--json"]).await?;
            ensure!(output.status.success(), "{output:?}");
            let lines: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
                .into_iter()
                .collect::<Result<_, _>>()
                .context("one object a line")?;
            let (last, told) = lines.split_last().context("nothing was said")?;
            assert_eq!(*last, whole, "two folds are the same");
            let (rows, events): (Vec<_>, Vec<_>) = told.iter().partition(|line| line["table"].is_string());
            assert_eq!(rows.len() as u64, last["rows"].as_u64().unwrap_or_default());
            assert_eq!(events.len() as u64, last["events"].as_u64().unwrap_or_default());
            assert!(events.iter().any(|line| line["outcome"] == "rejected" && line["reason"] == "undecodable"));
            assert!(rows.iter().any(|line| line["row"]["name"] == "after \"quotes\" and é"));

            let words = cluster.projector(&["fold", "--from", path, "--events"]).await?;
            let words = String::from_utf8(words.stdout)?;
            assert!(words.contains(" highwater.file.uploaded.v1 applied after \"quotes\" and é\n"), "{words}");
            assert!(
                words.contains(&format!("\ndigest {}\n", last["digest"].as_str().context("no digest")?)),
                "{words}"
            );

            let text = std::fs::read_to_string(&file)?;
            let without = text.lines().enumerate().filter(|(n, _)| *n != 9).map(|(_, line)| format!("{line}\n"));
            std::fs::write(&file, without.collect::<String>())?;
            refused(cluster, &["fold", "--from", path], "line 10 of the slice has event 10 where event 9 must come")
                .await?;
            std::fs::write(&file, text.replacen("highwater.file.uploaded.v1", "highwater.file.shared.v1", 1))?;
            refused(cluster, &["fold", "--from", path], "Start the projector of that version").await?;
            refused(cluster, &["fold", "--from", "/nowhere/at/all"], "cannot read /nowhere/at/all").await
        },
    );
}

#[test]
fn a_part_of_the_journal_is_exported_and_what_is_not_there_is_refused() {
    run(
        |b| b.replicators(0),
        async |cluster| {
            fill_without_replicas(cluster).await?;
            let status = cluster.client().await?.status().await?;
            let journal = status.journal.context("no journal")?;
            let at = |n: u64| format!("{}-{n}", journal.incarnation);
            let part = cluster.fold_slice(&["--from", "5", "--to", &at(7)]).await?;
            assert_eq!((&part["events"], &part["sequence"]), (&3.into(), &at(7).into()));
            let none = cluster.fold_slice(&["--from", "8", "--to", "7"]).await?;
            assert_eq!((&none["events"], &none["sequence"]), (&0.into(), &at(7).into()));
            let folder = tempfile::tempdir()?;
            let file = folder.path().join("slice.jsonl");
            let path = file.to_str().context("no UTF-8")?;
            for (flags, words) in [
                (["--to", "1000000"], "the journal has the events 1 to "),
                (["--from", "00000000000040008000000000000000-1"], "is of another journal than this one"),
            ] {
                refused(cluster, &[&["export", "--out", path], &flags[..]].concat(), words).await?;
            }
            refused(cluster, &["export", "--out", "/nowhere/at/all"], "cannot write /nowhere/at/all").await?;
            let output = cluster.projector(&["export", "--from", "x"]).await?;
            assert_eq!(output.status.code(), Some(64), "{output:?}");
            assert_eq!(std::fs::read_dir(&folder)?.count(), 0, "nothing half-written stays");
            Ok(())
        },
    );
}

async fn fill_without_replicas(cluster: &Cluster) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    for n in 0..5 {
        client.put(&format!("f{n}"), Content::new(n, 10)).await?;
    }
    Ok(())
}
