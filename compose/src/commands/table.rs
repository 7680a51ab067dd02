//! `ps` and `logs`.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::control::{self, Request};
use crate::data::log_path;

/// How often a followed log is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn ps(root: &Path, json: bool) -> anyhow::Result<()> {
    let answer = control::ask(root, &Request::Ps).await?;
    let rows: Vec<String> = serde_json::from_value(answer).context("the answer is no table")?;
    let mut out = std::io::stdout().lock();
    if json {
        for row in rows {
            writeln!(out, "{row}")?;
        }
        return Ok(());
    }
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

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}
