//! Answers as text for people and as JSON for programs. Pure: the same answer always reads the same.

pub(crate) mod json;
#[cfg(test)]
mod samples;
pub(crate) mod text;

use std::borrow::Cow;

use proto::v1::{AuditKind, EntryKind, NodeHealth, Outcome, RecoverState, ReplicaState, VersionKind};
use time::OffsetDateTime;

/// An enum's value as one lower-case word: `REPLICA_STATE_STORED` is `stored`.
fn word(full: Option<&'static str>, prefix: &str) -> String {
    full.map_or("unknown", |full| full.trim_start_matches(prefix)).to_lowercase()
}

/// The word of an outcome.
pub(crate) fn outcome(value: i32) -> String {
    word(Outcome::try_from(value).ok().map(|outcome| outcome.as_str_name()), "OUTCOME_")
}

/// The word of a replica's state.
pub(crate) fn replica_state(value: i32) -> String {
    word(ReplicaState::try_from(value).ok().map(|state| state.as_str_name()), "REPLICA_STATE_")
}

/// The word of a node's health.
pub(crate) fn node_health(value: i32) -> String {
    word(NodeHealth::try_from(value).ok().map(|health| health.as_str_name()), "NODE_HEALTH_")
}

/// The word of what an audit found.
pub(crate) fn audit_kind(value: i32) -> String {
    word(AuditKind::try_from(value).ok().map(|kind| kind.as_str_name()), "AUDIT_KIND_")
}

/// The word of what became of a blob that no event named.
pub(crate) fn recover_state(value: i32) -> String {
    word(RecoverState::try_from(value).ok().map(|state| state.as_str_name()), "RECOVER_STATE_")
}

/// The word of what a name in a folder stands for.
pub(crate) fn entry_kind(value: i32) -> String {
    word(EntryKind::try_from(value).ok().map(|kind| kind.as_str_name()), "ENTRY_KIND_")
}

/// The word of how a version came to be.
pub(crate) fn version_kind(value: i32) -> String {
    word(VersionKind::try_from(value).ok().map(|kind| kind.as_str_name()), "VERSION_KIND_")
}

/// The time, when it is one.
fn time(timestamp: Option<&prost_types::Timestamp>) -> Option<OffsetDateTime> {
    let timestamp = timestamp?;
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()
}

/// A number of bytes for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time span for people, in its two largest units.
pub(crate) fn span(span: &prost_types::Duration) -> String {
    let seconds = u64::try_from(span.seconds).unwrap_or(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

/// Text from elsewhere without what could move a terminal's cursor.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(|c: char| c.is_control()) {
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        Cow::Owned(text.chars().map(escape).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_unit() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_595, "12.3 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (200 * 1024 * 1024, "200.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, shown) in [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_720, "1h 2m"), (90_000, "1d 1h")] {
            assert_eq!(span(&prost_types::Duration { seconds, nanos: 900_000_000 }), shown);
        }
    }

    #[test]
    fn enums_are_words() {
        assert_eq!(outcome(Outcome::ConflictedCopy.into()), "conflicted_copy");
        assert_eq!(replica_state(ReplicaState::NotPlaced.into()), "not_placed");
        assert_eq!(node_health(NodeHealth::WrongMarker.into()), "wrong_marker");
        assert_eq!(entry_kind(EntryKind::Folder.into()), "folder");
        assert_eq!(version_kind(VersionKind::Tombstone.into()), "tombstone");
        assert_eq!(outcome(0), "unspecified");
        assert_eq!(outcome(99), "unknown");
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(plain("naïve/ключ"), "naïve/ключ");
        assert_eq!(plain("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
