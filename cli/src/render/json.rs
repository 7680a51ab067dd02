//! Answers as JSON: field names as in the .proto files, 64-bit integers as numbers, digests as hex, times as RFC 3339,
//! spans in seconds, enums as lower-case words. A field is always there; what is absent is `null`.
#![expect(clippy::struct_field_names, reason = "the .proto files name the fields")]

mod audit;
mod folders;
mod history;
mod ops;
mod receipts;
mod recover;
mod spaces;

use prost_types::value::Kind;
use proto::v1;
use serde::Serialize;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

pub(crate) use self::audit::{audited, finding};
pub(crate) use self::folders::{deleted, entry, usage};
use self::history::{Version, version};
pub(crate) use self::history::{change, listed_version, undo_step, waited};
pub(crate) use self::ops::{explained, parked, placement, redriven, retired, status};
pub(crate) use self::receipts::{aborted, receipt, stored};
pub(crate) use self::recover::{recovered, recovery};
pub(crate) use self::spaces::{pruned, space};
use crate::exit::Failure;
use crate::render::{outcome, replica_state, time};

/// What `get` wrote, and where.
pub(crate) fn downloaded(header: &v1::DownloadHeader, target: &str) -> String {
    line(&Downloaded {
        version: header.version.as_ref().map(version),
        offset: header.offset,
        length: header.length,
        target,
    })
}

/// A file with its replicas, as `stat` answers it.
pub(crate) fn file(file: &v1::File) -> String {
    line(&file_with(file, Some(file.replicas.iter().map(replica).collect())))
}

/// A file as `ls` answers it, without `replicas`.
pub(crate) fn listed(file: &v1::File) -> String {
    line(&file_with(file, None))
}

/// An event.
pub(crate) fn event(event: &v1::Event) -> String {
    line(&inner_event(event))
}

fn inner_event(event: &v1::Event) -> Event<'_> {
    Event {
        sequence: &event.sequence,
        event_id: &event.event_id,
        event_type: &event.r#type,
        time: rfc3339(event.time.as_ref()),
        source: &event.source,
        subject: &event.subject,
        actor: &event.actor,
        outcome: outcome(event.outcome),
        reason: &event.reason,
        data: event.data.as_ref().map_or(Value::Null, data),
    }
}

/// An error, without a line's end.
pub(crate) fn error(failure: &Failure) -> String {
    let mut line = line(&Error { code: failure.code, reason: &failure.reason, message: &failure.message });
    line.pop();
    line
}

/// The event's own data.
pub(crate) fn data(data: &prost_types::Struct) -> Value {
    Value::Object(data.fields.iter().map(|(name, field)| (name.clone(), value(field))).collect())
}

#[derive(Serialize)]
struct Downloaded<'a> {
    version: Option<Version<'a>>,
    offset: u64,
    length: u64,
    /// Not in the API: where this program wrote it.
    target: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    space: &'a str,
    path: &'a str,
    file_id: &'a str,
    version: Option<Version<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas: Option<Vec<Replica<'a>>>,
    replicas_stored: u32,
    replicas_wanted: u32,
}

#[derive(Serialize)]
struct Replica<'a> {
    node: &'a str,
    state: String,
    sequence: &'a str,
    reason: &'a str,
    attempts: u32,
}

#[derive(Serialize)]
struct Event<'a> {
    sequence: &'a str,
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    time: Option<String>,
    source: &'a str,
    subject: &'a str,
    actor: &'a str,
    outcome: String,
    reason: &'a str,
    data: Value,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn line(answer: &impl Serialize) -> String {
    let mut line = serde_json::to_string(answer).expect("answers hold only strings, numbers and lists");
    line.push('\n');
    line
}

fn file_with<'a>(file: &'a v1::File, replicas: Option<Vec<Replica<'a>>>) -> File<'a> {
    File {
        space: &file.space,
        path: &file.path,
        file_id: &file.file_id,
        version: file.version.as_ref().map(version),
        replicas,
        replicas_stored: file.replicas_stored,
        replicas_wanted: file.replicas_wanted,
    }
}

fn replica(replica: &v1::Replica) -> Replica<'_> {
    Replica {
        node: &replica.node,
        state: replica_state(replica.state),
        sequence: &replica.sequence,
        reason: &replica.reason,
        attempts: replica.attempts,
    }
}

fn rfc3339(timestamp: Option<&prost_types::Timestamp>) -> Option<String> {
    time(timestamp)?.format(&Rfc3339).ok()
}

fn value(value: &prost_types::Value) -> Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(self::value).collect()),
        Some(Kind::StructValue(fields)) => data(fields),
    }
}

/// A Struct holds every number as a float; whole ones are shown as they were published.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers that a float holds exactly are cast")]
fn number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod tests;
