//! What the tools print on standard output: words for people, or one JSON object a line.

use std::io::Write as _;

use catalog::{Checkpoint, Difference};
use runtime::ErrorLine;
use serde::Serialize;
use serde_json::Value;

use crate::comparison::Compared;
use crate::error::Error;

pub(crate) use folded::folded;
pub(crate) use pruned::pruned;
pub(crate) use rebuilt::rebuilt;

mod folded;
mod pruned;
mod rebuilt;

#[derive(Serialize)]
struct VerifyReport<'a> {
    sequence: String,
    equal: bool,
    rows: u64,
    differing: u64,
    tables: Vec<TableReport<'a>>,
    digest_live: String,
    digest_rebuilt: String,
    differences: Vec<DifferenceReport<'a>>,
}

#[derive(Serialize)]
struct TableReport<'a> {
    table: &'a str,
    rows: u64,
    differing: u64,
}

#[derive(Serialize)]
struct DifferenceReport<'a> {
    table: &'a str,
    key: &'a str,
    live: Option<Value>,
    rebuilt: Option<Value>,
    events: Vec<String>,
    more_events: bool,
}

#[derive(Serialize)]
struct MigrateReport {
    migrated: bool,
}

/// What `verify` prints.
pub(crate) fn compared(compared: &Compared, json: bool) -> String {
    if json {
        return line(&VerifyReport::of(compared));
    }
    let n = compared.at.n;
    let (rows, differing, shown) = (compared.rows(), compared.differing(), compared.differences.len());
    let mut lines: Vec<String> = compared.differences.iter().map(difference).collect();
    lines.push(if compared.is_equal() {
        format!("equal: the catalog is what the journal says up to event {n}; {rows} rows compared")
    } else {
        format!(
            "different: {differing} of {rows} rows are not what the journal says up to event {n}; {shown} are shown"
        )
    });
    for table in &compared.tables {
        lines.push(format!("  {:<12} {:>10} rows {:>10} differing", table.table, table.rows, table.differing));
    }
    lines.push(format!("live    {}", compared.digest_live));
    lines.push(format!("rebuilt {}", compared.digest_rebuilt));
    text(&lines)
}

/// A difference, in words.
pub(crate) fn difference(difference: &Difference) -> String {
    let side = |row: &Option<String>| row.clone().unwrap_or_else(|| "no such row".to_owned());
    let Difference { table, key, left, right, events, more_events } = difference;
    let mut events: Vec<String> = events.iter().map(u64::to_string).collect();
    if *more_events {
        events.insert(0, "...".to_owned());
    }
    if events.is_empty() {
        events.push("none".to_owned());
    }
    format!("{table} {key}\n  live    {}\n  rebuilt {}\n  events  {}", side(left), side(right), events.join(", "))
}

/// What `migrate` prints.
pub(crate) fn migrated(json: bool) -> String {
    if json { line(&MigrateReport { migrated: true }) } else { "the schema highwater is up to date\n".to_owned() }
}

/// Writes to standard output. Who closed it does not want to know.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes an error to standard error: as an object with `--json`, else in the log.
pub(crate) fn print_error(error: &Error, json: bool) {
    if json {
        let (code, reason) = error.code();
        ErrorLine { code, reason, message: &error.to_string() }.print();
    } else {
        tracing::error!("{error}");
    }
}

fn line(report: &impl Serialize) -> String {
    let mut line = serde_json::to_string(report).expect("reports hold only strings, numbers and JSON");
    line.push('\n');
    line
}

fn text(lines: &[String]) -> String {
    format!("{}\n", lines.join("\n"))
}

/// Another event of the same life of the journal.
fn sequence(at: &Checkpoint, n: u64) -> String {
    proto::Sequence { n, ..at.sequence() }.to_string()
}

// === impl VerifyReport ===

impl<'a> VerifyReport<'a> {
    fn of(compared: &'a Compared) -> Self {
        let parse = |row: &Option<String>| {
            row.as_ref().map(|text| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone())))
        };
        let tables = compared.tables.iter();
        let differences = compared.differences.iter();
        Self {
            sequence: compared.at.sequence().to_string(),
            equal: compared.is_equal(),
            rows: compared.rows(),
            differing: compared.differing(),
            tables: tables.map(|t| TableReport { table: &t.table, rows: t.rows, differing: t.differing }).collect(),
            digest_live: compared.digest_live.to_string(),
            digest_rebuilt: compared.digest_rebuilt.to_string(),
            differences: differences
                .map(|d| DifferenceReport {
                    table: &d.table,
                    key: &d.key,
                    live: parse(&d.left),
                    rebuilt: parse(&d.right),
                    events: d.events.iter().map(|n| sequence(&compared.at, *n)).collect(),
                    more_events: d.more_events,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
