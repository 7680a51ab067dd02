//! What `fold` prints.

use std::io::{BufWriter, Write};

use catalog::{Outcome, offline};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::Fold;
use crate::offline::Folded;

#[derive(Serialize)]
struct EventReport<'a> {
    sequence: String,
    event_id: Option<String>,
    kind: &'a str,
    outcome: &'static str,
    reason: Option<&'a str>,
    path: Option<&'a str>,
}

#[derive(Serialize)]
struct RowReport<'a> {
    table: &'static str,
    row: &'a RawValue,
}

#[derive(Serialize)]
struct FoldReport {
    sequence: String,
    events: usize,
    applied: usize,
    conflicted_copies: usize,
    rejected: usize,
    repeated: usize,
    rows: u64,
    digest: String,
    chain: String,
}

/// Writes what `flags` ask for. Who closed standard output does not want to know.
pub(crate) fn folded(folded: &Folded, flags: &Fold) {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let _ = write(&mut out, folded, flags).and_then(|()| out.flush());
}

fn write(out: &mut impl Write, folded: &Folded, flags: &Fold) -> std::io::Result<()> {
    if flags.events {
        write_events(out, folded, flags.json)?;
    }
    if flags.rows {
        for (table, rows) in offline::tables(&folded.store, &folded.at) {
            for row in rows {
                let row: &RawValue = serde_json::from_str(&row)?;
                serde_json::to_writer(&mut *out, &RowReport { table, row })?;
                out.write_all(b"\n")?;
            }
        }
    }
    let events = folded.events().len();
    let [applied, conflicted_copies, rejected, repeated] =
        [Outcome::Applied, Outcome::ConflictedCopy, Outcome::Rejected, Outcome::Repeated].map(|it| folded.count(it));
    let (rows, digest) = (folded.digest.rows, folded.digest.sha256);
    if flags.json {
        let (sequence, chain) = (folded.at.sequence().to_string(), folded.at.chain.to_string());
        let digest = digest.to_string();
        let report =
            FoldReport { sequence, events, applied, conflicted_copies, rejected, repeated, rows, digest, chain };
        serde_json::to_writer(&mut *out, &report)?;
        return out.write_all(b"\n");
    }
    writeln!(
        out,
        "folded {events} events, {} to {}: {applied} applied, {conflicted_copies} conflicted copies, {rejected} rejected, \
         {repeated} repeated",
        folded.from, folded.at.n
    )?;
    writeln!(out, "{rows} rows\ndigest {digest}\nchain  {}", folded.at.chain)
}

fn write_events(out: &mut impl Write, folded: &Folded, json: bool) -> std::io::Result<()> {
    for row in folded.events() {
        let (outcome, reason) = (row.outcome.as_str(), row.reason.as_deref());
        let path = row.path.as_ref().map(proto::Path::as_str);
        if json {
            let sequence = proto::Sequence { n: row.seq, ..folded.at.sequence() }.to_string();
            let event_id = row.event_id.map(|id| id.to_string());
            let report = EventReport { sequence, event_id, kind: &row.kind, outcome, reason, path };
            serde_json::to_writer(&mut *out, &report)?;
            out.write_all(b"\n")?;
            continue;
        }
        write!(out, "{} {} {outcome}", row.seq, row.kind)?;
        if let Some(reason) = reason {
            write!(out, ": {reason}")?;
        }
        if let Some(path) = path {
            // Paths hold no control characters, so one line it stays.
            write!(out, " {path}")?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}
