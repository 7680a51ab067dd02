//! The names of conflicted copies.

use proto::{Event, MAX_SEGMENT_BYTES, Segment};
use time::macros::format_description;

/// An ending longer than this is taken for a part of the name.
const MAX_ENDING_BYTES: usize = 32;
/// Longer actors are cut, so that the name stays readable.
const MAX_ACTOR_BYTES: usize = 64;

/// The `attempt`-th name (from 1) for a conflicted copy of `name`: `name (conflicted copy <actor> <date>).ext`, then with
/// ` 2`, ` 3` and so on behind the date. The date is the event's, so that every replay finds the same name.
pub(crate) fn copy_name(name: &Segment, event: &Event, attempt: u32) -> Segment {
    let (stem, ending) = split_ending(name.as_str());
    let actor = event.actor.as_str().replace('/', "-");
    let actor = cut(&actor, MAX_ACTOR_BYTES);
    let date = event
        .time
        .to_offset(time::UtcOffset::UTC)
        .format(format_description!("[year]-[month]-[day]"))
        .expect("a date always has a year, a month and a day");
    let number = if attempt > 1 { format!(" {attempt}") } else { String::new() };
    let mark = format!(" (conflicted copy {actor} {date}{number})");
    // Joining NFC texts can compose across the seam, which never makes them longer.
    let stem = cut(stem, MAX_SEGMENT_BYTES - mark.len() - ending.len());
    format!("{stem}{mark}{ending}")
        .parse()
        .expect("a cut name, a mark without slashes and a short ending fit a segment")
}

fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= MAX_ENDING_BYTES => name.split_at(at),
        _ => (name, ""),
    }
}

fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
