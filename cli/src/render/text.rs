//! Answers for people.

mod audit;
mod deeds;
mod folders;
mod history;
mod ops;
mod recover;
mod spaces;

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use proto::v1;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

pub(crate) use self::audit::{audited, finding};
pub(crate) use self::deeds::{Deed, Sent, aborted, deed, receipt, stored};
pub(crate) use self::folders::{deleted, entry, found_in_trash, usage};
pub(crate) use self::history::{change, undo, versions, waited};
pub(crate) use self::ops::{explained, parked, placement, redriven, retired, status};
pub(crate) use self::recover::{recovered, recovery};
pub(crate) use self::spaces::{deleted_spaces, limits, pruned, retention, spaces};
use crate::exit::Failure;
use crate::render::{json, outcome, plain, replica_state, size, time};

const TIME: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");

/// What is shown of an event's data, when it is there.
const DETAILS: [&str; 6] = ["node", "size_bytes", "name", "endpoint", "attempts", "reason"];

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
    let facts = [
        ("path", plain(&file.path).into_owned()),
        ("space", plain(&file.space).into_owned()),
        ("size", exact_size(version.size_bytes)),
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
    let rows = file.replicas.iter().map(|replica| {
        let attempts = if replica.attempts == 0 { String::new() } else { replica.attempts.to_string() };
        let state = replica_state(replica.state);
        [replica.node.clone(), state, number(&replica.sequence), attempts, plain(&replica.reason).into_owned()]
    });
    facts_text(&facts) + "\n" + &table(["NODE", "STATE", "SINCE", "ATTEMPTS", "REASON"], rows, &[2, 3])
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
        let outcome = outcome_and_reason(event.outcome, &event.reason);
        let actor = plain(&event.actor).into_owned();
        [number(&event.sequence), moment(event.time.as_ref()), kind(&event.r#type), actor, outcome, details(event)]
    });
    table(["NUMBER", "TIME", "EVENT", "ACTOR", "OUTCOME", "DETAILS"], rows, &[0])
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

/// Facts with their names, one a line, without those that are not there.
fn facts_text(facts: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "{name:<9} {value}").expect("a String takes everything");
    }
    text
}

/// The size, and the exact one where that says more.
fn exact_size(bytes: u64) -> String {
    if bytes < 1024 { size(bytes) } else { format!("{} ({bytes} bytes)", size(bytes)) }
}

/// A number with its noun.
fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

fn outcome_and_reason(value: i32, reason: &str) -> String {
    match plain(reason).as_ref() {
        "" => outcome(value),
        reason => format!("{}: {reason}", outcome(value)),
    }
}

/// What kind of event it is, without what all events have in common.
fn kind(event_type: &str) -> String {
    plain(event_type.trim_start_matches("highwater.").trim_end_matches(".v1")).into_owned()
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
