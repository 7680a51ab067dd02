//! What the tools print on standard output: words for people, or one JSON object a line.

use std::io::Write as _;

use catalog::Difference;
use runtime::ErrorLine;
use serde::Serialize;
use serde_json::Value;

use crate::comparison::Compared;
use crate::error::Error;
use crate::rebuild::Rebuilt;

pub(crate) use folded::folded;

mod folded;

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
}

#[derive(Serialize)]
struct RebuildReport<'a> {
    generation: u32,
    sequence: String,
    events: u64,
    seconds: f64,
    events_per_second: f64,
    switched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<VerifyReport<'a>>,
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
    let mut lines: Vec<String> = compared.differences.iter().map(words).collect();
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

/// What `rebuild` prints.
pub(crate) fn rebuilt(rebuilt: &Rebuilt, json: bool) -> String {
    let (pace, n) = (rebuilt.pace, rebuilt.at.n);
    if json {
        return line(&RebuildReport {
            generation: rebuilt.generation.number(),
            sequence: rebuilt.at.sequence().to_string(),
            events: pace.events,
            seconds: rounded(pace.seconds),
            events_per_second: pace.per_second().round(),
            switched: rebuilt.switched,
            verified: rebuilt.compared.as_ref().map(VerifyReport::of),
        });
    }
    let generation = rebuilt.generation;
    let folded = format!("folded {} events in {:.1} s, {:.0} a second", pace.events, pace.seconds, pace.per_second());
    let ended = if rebuilt.switched {
        format!("{generation} answers reads from now on, at event {n}")
    } else {
        format!("{generation} was dropped again; the live catalog is as it was")
    };
    let found = rebuilt.compared.as_ref().map(|compared| self::compared(compared, false)).unwrap_or_default();
    format!("{folded}\n{found}{ended}\n")
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

fn words(difference: &Difference) -> String {
    let side = |row: &Option<String>| row.clone().unwrap_or_else(|| "no such row".to_owned());
    let Difference { table, key, left, right } = difference;
    format!("{table} {key}\n  live    {}\n  rebuilt {}", side(left), side(right))
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
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
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
