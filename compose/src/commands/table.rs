//! `ps` and `logs`.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use runtime::ErrorLine;
use serde_json::Value;

use super::EXIT_FAILED;
use crate::control::{self, Request};
use crate::data::log_path;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// One object a line, also for what went wrong.
pub(super) async fn ps_as_json(root: &Path) -> ExitCode {
    let print = |rows: Vec<String>| -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        rows.iter().try_for_each(|row| writeln!(out, "{row}")).context("write to standard output")
    };
    let Err(error) = rows(root).await.and_then(print) else { return ExitCode::SUCCESS };
    let (code, reason) = match error.downcast_ref::<control::Error>() {
        Some(control::Error::NothingRuns(_)) => ("FAILED_PRECONDITION", "nothing_runs"),
        Some(control::Error::Refused(_)) => ("FAILED_PRECONDITION", "refused"),
        None => ("UNAVAILABLE", "runner_unavailable"),
    };
    ErrorLine { code, reason, message: &format!("{error:#}") }.print();
    ExitCode::from(EXIT_FAILED)
}

/// A table for people.
pub(super) async fn ps(root: &Path) -> anyhow::Result<()> {
    let rows = rows(root).await?;
    let mut out = std::io::stdout().lock();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["NAME", "PID", "STATE", "ADDRESSES", "LOG"]);
    for row in rows {
        let row: Value = serde_json::from_str(&row).context("the answer is no table")?;
        let text = |key: &str| match &row[key] {
            Value::String(text) => text.clone(),
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        table.add_row(["name", "pid", "state", "addresses", "log"].map(text));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

pub(super) async fn logs(root: &Path, name: &str, lines: Option<usize>, follow: bool) -> anyhow::Result<()> {
    let path = log_path(root, name);
    let mut file = std::fs::File::open(&path).with_context(|| format!("there is no log of `{name}`"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let from = lines.map_or(0, |lines| text.lines().count().saturating_sub(lines));
    let shown: String = text.split_inclusive('\n').skip(from).collect();
    print(shown.as_bytes())?;
    if !follow {
        return Ok(());
    }
    let mut read = u64::try_from(bytes.len()).context("the log is too long")?;
    loop {
        tokio::time::sleep(FOLLOW_EVERY).await;
        file.seek(SeekFrom::Start(read))?;
        bytes.clear();
        read += u64::try_from(file.read_to_end(&mut bytes)?).context("the log is too long")?;
        print(&bytes)?;
    }
}

/// Each program as the text that `--json` prints.
async fn rows(root: &Path) -> anyhow::Result<Vec<String>> {
    let answer = control::ask(root, &Request::Ps).await?;
    serde_json::from_value(answer).context("the answer is no table")
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}
