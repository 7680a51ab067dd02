//! Answers for people.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use proto::v1;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::exit::Failure;
use crate::render::{json, node_health, outcome, plain, replica_state, size, time};

const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");

/// What is shown of an event's data, when it is there.
const DETAILS: [&str; 6] = ["node", "size_bytes", "name", "endpoint", "attempts", "reason"];

/// One sentence about what was stored.
pub(crate) fn receipt(receipt: &v1::Receipt, source: &str) -> String {
    let (source, path) = (plain(source), plain(&receipt.path));
    let v1::Receipt { version_id, sequence, node, .. } = receipt;
    let what = match v1::Outcome::try_from(receipt.outcome) {
        Ok(v1::Outcome::Rejected) => {
            return format!("{source} was not stored at {path}: {} (at {sequence})\n", plain(&receipt.reason));
        }
        Ok(v1::Outcome::ConflictedCopy) => format!("as the conflicted copy {path} ({})", plain(&receipt.reason)),
        Ok(v1::Outcome::Applied | v1::Outcome::Pending | v1::Outcome::Unspecified) | Err(_) => format!("as {path}"),
    };
    let later = if receipt.projected { "" } else { "; safe in the journal, not yet in the catalog" };
    let size = size(receipt.size_bytes);
    format!("stored {source} {what}: {size}, version {version_id}, at {sequence}, first copy on {node}{later}\n")
}

/// One sentence about what was read.
pub(crate) fn downloaded(header: &v1::DownloadHeader, path: &str, target: &str) -> String {
    let version = header.version.clone().unwrap_or_default();
    let (path, target, version_id) = (plain(path), plain(target), &version.version_id);
    if is_whole(header) {
        let size = size(header.length);
        return format!("wrote {path} to {target}: {size}, version {version_id}, SHA-256 verified\n");
    }
    let (first, size_bytes) = (header.offset, version.size_bytes);
    let length = header.length;
    format!("wrote {length} bytes from byte {first} of {path} ({size_bytes} bytes) to {target}: version {version_id}\n")
}

/// Whether the header announces the whole content.
pub(crate) fn is_whole(header: &v1::DownloadHeader) -> bool {
    let size_bytes = header.version.as_ref().map(|version| version.size_bytes);
    header.offset == 0 && size_bytes == Some(header.length)
}

/// A line of `ls`.
pub(crate) fn listed(file: &v1::File) -> String {
    let version = file.version.clone().unwrap_or_default();
    let copies = copies(file);
    let (size, at) = (size(version.size_bytes), moment(version.created_at.as_ref()));
    format!("{size:>11}  {copies:>5}  {at:<20}  {}\n", plain(&file.path))
}

/// All that is known of a file.
pub(crate) fn file(file: &v1::File) -> String {
    let version = file.version.clone().unwrap_or_default();
    let size_bytes = version.size_bytes;
    let facts = [
        ("path", plain(&file.path).into_owned()),
        ("space", plain(&file.space).into_owned()),
        (
            "size",
            if size_bytes < 1024 { size(size_bytes) } else { format!("{} ({size_bytes} bytes)", size(size_bytes)) },
        ),
        ("sha256", hex::encode(&version.sha256)),
        ("type", plain(&version.content_type).into_owned()),
        ("modified", moment(version.modified_at.as_ref())),
        ("uploaded", format!("{} by {}", moment(version.created_at.as_ref()), plain(&version.actor))),
        ("version", version.version_id),
        ("file", file.file_id.clone()),
        ("blob", version.blob_id),
        ("event", version.event_id),
        ("sequence", version.sequence),
        ("copies", copies(file)),
    ];
    let mut text = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "{name:<9} {value}").expect("a String takes everything");
    }
    let rows = file.replicas.iter().map(|replica| {
        let attempts = if replica.attempts == 0 { String::new() } else { replica.attempts.to_string() };
        let state = replica_state(replica.state);
        [replica.node.clone(), state, number(&replica.sequence), attempts, plain(&replica.reason).into_owned()]
    });
    text + "\n" + &table(["NODE", "STATE", "SINCE", "ATTEMPTS", "REASON"], rows, &[2, 3])
}

/// How far the copies of a file are, in one line.
pub(crate) fn replicas(file: &v1::File) -> String {
    let states: Vec<String> = file
        .replicas
        .iter()
        .map(|replica| match plain(&replica.reason).as_ref() {
            "" => format!("{} {}", replica.node, replica_state(replica.state)),
            reason => format!("{} {} ({reason})", replica.node, replica_state(replica.state)),
        })
        .collect();
    format!("{}: {} copies ({})", plain(&file.path), copies(file), states.join(", "))
}

/// Events as a table.
pub(crate) fn events(events: &[v1::Event]) -> String {
    let rows = events.iter().map(|event| {
        let outcome = match plain(&event.reason).as_ref() {
            "" => outcome(event.outcome),
            reason => format!("{}: {reason}", outcome(event.outcome)),
        };
        let kind = event.r#type.trim_start_matches("highwater.").trim_end_matches(".v1");
        let actor = plain(&event.actor).into_owned();
        [number(&event.sequence), moment(event.time.as_ref()), plain(kind).into_owned(), actor, outcome, details(event)]
    });
    table(["NUMBER", "TIME", "EVENT", "ACTOR", "OUTCOME", "DETAILS"], rows, &[0])
}

/// The whole status.
pub(crate) fn status(status: &v1::GetStatusResponse) -> String {
    let mut text = String::new();
    if let Some(journal) = &status.journal {
        let v1::Journal { head, stored_bytes, max_bytes, .. } = journal;
        let (stored, max) = (size(*stored_bytes), size(*max_bytes));
        let percent = (u128::from(*stored_bytes) * 100).checked_div(u128::from(*max_bytes)).unwrap_or(0);
        writeln!(text, "journal  head {head}, {stored} of {max} used ({percent} %)")
            .expect("a String takes everything");
    }
    if let Some(catalog) = &status.catalog {
        let v1::Catalog { checkpoint, events_behind, generation, undecodable_events } = catalog;
        let behind = if *events_behind == 1 { "1 event".to_owned() } else { format!("{events_behind} events") };
        write!(text, "catalog  checkpoint {checkpoint}, {behind} behind, generation {generation}")
            .expect("a String takes everything");
        if *undecodable_events > 0 {
            write!(text, ", {undecodable_events} undecodable").expect("a String takes everything");
        }
        text.push('\n');
    }
    let rows = status.nodes.iter().map(|node| {
        [
            node.node.clone(),
            node_health(node.health),
            node.blobs_stored.to_string(),
            node.blobs_pending.to_string(),
            size(node.bytes_pending),
            node.blobs_parked.to_string(),
            node.blobs_lost.to_string(),
            moment(node.oldest_pending_at.as_ref()),
            plain(&node.reason).into_owned(),
        ]
    });
    let header = ["NODE", "HEALTH", "STORED", "PENDING", "BYTES PENDING", "PARKED", "LOST", "OLDEST PENDING", "REASON"];
    text + "\n" + &table(header, rows, &[2, 3, 4, 5, 6])
}

/// An error, without a line's end.
pub(crate) fn error(failure: &Failure) -> String {
    let message = plain(&failure.message);
    match plain(&failure.reason).as_ref() {
        "" => format!("highwater: {message} ({})", failure.code),
        // Said by this program itself: the sentence is all there is to know.
        "usage" | "interrupted" | "terminated" => format!("highwater: {message}"),
        reason => format!("highwater: {message} ({reason})"),
    }
}

fn copies(file: &v1::File) -> String {
    format!("{}/{}", file.replicas_stored, file.replicas_wanted)
}

fn moment(timestamp: Option<&prost_types::Timestamp>) -> String {
    time(timestamp).and_then(|time| time.format(TIME).ok()).unwrap_or_default()
}

/// The number of a sequence: the incarnation is the same on every line.
fn number(sequence: &str) -> String {
    sequence.rsplit_once('-').map_or(sequence, |(_, number)| number).to_owned()
}

fn details(event: &v1::Event) -> String {
    let Some(data) = event.data.as_ref().map(json::data) else { return String::new() };
    let shown = DETAILS.iter().filter_map(|name| {
        let value = data.get(name)?;
        Some(format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), |text| plain(text).into_owned())))
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>, numeric: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // Lines are as long as they must be: whoever cuts or greps them is not surprised by a narrow terminal.
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numeric.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
