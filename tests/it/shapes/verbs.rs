//! What each verb answers, of changes, of the past, and of spaces: by the real gateway, for what it does not send is
//! not in any fake's answers either.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;
use tests::{Cluster, Content, run};

use super::{Redact, answer};

/// Everything that was said so far, for one snapshot.
struct Told<'a> {
    cluster: &'a Cluster,
    folder: TempDir,
    redact: Redact,
    text: String,
}

impl<'a> Told<'a> {
    fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let redact = Redact::new(cluster, folder.path())?;
        Ok(Self { cluster, folder, redact, text: String::new() })
    }

    /// Runs a command under a title, and answers its objects.
    async fn say(&mut self, title: &str, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let output = self.cluster.highwater(&[args, &["--json"]].concat()).await?;
        let said = answer(&output).with_context(|| args.join(" "))?;
        let shown = self.redact.lines(said)?;
        writeln!(self.text, "== {title}\n{shown}")?;
        std::str::from_utf8(said)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    async fn change(&mut self, title: &str, args: &[&str]) -> anyhow::Result<Receipt> {
        let said = self.say(title, args).await?;
        let field = |name: &str| said[0][name].as_str().map(str::to_owned).with_context(|| name.to_owned());
        Ok(Receipt { event_id: field("event_id")?, sequence: field("sequence")?, version_id: field("version_id")? })
    }

    /// Stores content that is as long as `seed` says.
    async fn put(&mut self, seed: u64, path: &str, more: &[&str]) -> anyhow::Result<Receipt> {
        let source = self.folder.path().join("source");
        std::fs::write(&source, Content::new(seed, 1000 * seed).bytes())?;
        let source = source.display().to_string();
        let before = self.text.len();
        let receipt = self.change("put", &[&["put", &source, path][..], more].concat()).await?;
        // The other test has it.
        self.text.truncate(before);
        Ok(receipt)
    }
}

struct Receipt {
    event_id: String,
    sequence: String,
    version_id: String,
}

#[test]
fn changes() {
    run(
        |b| b,
        async |cluster| {
            let mut told = Told::new(cluster)?;
            let first = told.put(1, "a.txt", &["--actor", "alice"]).await?;
            let second = told.put(2, "a.txt", &["--actor", "alice"]).await?;
            told.change("mkdir", &["mkdir", "new/folder"]).await?;
            told.change("mv", &["mv", "a.txt", "docs/b.txt", "--actor", "alice"]).await?;
            told.change("cp", &["cp", "docs/b.txt", "docs/c.txt"]).await?;
            told.change("restore", &["restore", "docs/b.txt", &first.version_id]).await?;
            let removed = told.change("rm", &["rm", "docs/c.txt", "--actor", "bob"]).await?;
            told.say("trash ls", &["trash", "ls"]).await?;
            told.change("trash restore", &["trash", "restore", "docs/c.txt", "--to", "back.txt"]).await?;
            told.change("rm of a folder", &["rm", "new", "--recursive"]).await?;
            told.say("receipt", &["receipt", &removed.event_id]).await?;
            let step = ["--from", &second.sequence, "--to", &removed.sequence, "--actor", "alice", "--by", "carol"];
            told.say("undo --dry-run", &[&["undo", "--dry-run"][..], &step].concat()).await?;
            told.say("undo", &[&["undo"][..], &step].concat()).await?;
            told.say("watch", &["watch", "--once", "--from", &first.sequence]).await?;
            insta::assert_snapshot!("changes", told.text);
            cluster.verify().await
        },
    );
}

#[test]
fn the_past_and_the_whole() {
    run(
        |b| b,
        async |cluster| {
            let mut told = Told::new(cluster)?;
            let first = told.put(1, "docs/a.txt", &[]).await?;
            told.put(2, "docs/a.txt", &["--actor", "alice"]).await?;
            told.put(3, "docs/sub/b.txt", &[]).await?;
            cluster.settle().await;
            told.say("versions", &["versions", "docs/a.txt"]).await?;
            told.say("ls --at", &["ls", "docs", "--at", &first.sequence]).await?;
            told.say("ls -R", &["ls", "-R"]).await?;
            let target = told.folder.path().join("past.txt");
            let shown = target.display().to_string();
            told.say("get --at", &["get", "docs/a.txt", &shown, "--at", &first.sequence]).await?;
            assert_eq!(std::fs::read(target)?, Content::new(1, 1000).bytes());
            told.say("du", &["du"]).await?;
            told.say("wait", &["wait", "docs/a.txt", "--replicas", "3"]).await?;
            told.say("put --abort", &["put", &shown, "docs/", "--abort"]).await?;
            insta::assert_snapshot!("the_past_and_the_whole", told.text);
            cluster.verify().await
        },
    );
}

#[test]
fn spaces() {
    run(
        |b| b,
        async |cluster| {
            let mut told = Told::new(cluster)?;
            told.change("space create", &["space", "create", "team"]).await?;
            told.change("space rename", &["space", "rename", "team", "crew"]).await?;
            told.change("space retention", &["space", "retention", "crew", "--keep-versions", "1"]).await?;
            told.say("space ls", &["space", "ls"]).await?;
            for seed in 1..=2 {
                told.put(seed, "f", &["--space", "crew"]).await?;
            }
            told.say("space prune --dry-run", &["space", "prune", "crew", "--dry-run"]).await?;
            told.say("space prune", &["space", "prune", "crew"]).await?;
            told.change("space rm", &["space", "rm", "crew", "--force"]).await?;
            insta::assert_snapshot!("spaces", told.text);
            cluster.verify().await
        },
    );
}
