//! Durations in configuration: `"500ms"`, `"2s"`, `"1m30s"`, with `#[serde(with = "runtime::config::duration")]`.

use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Reads a duration: numbers with units, the sum of them (`1m30s`).
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as \"500ms\", \"2s\" or \"1m30s\"");
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (_, micros) = UNITS.iter().find(|(unit, _)| *unit == &after[..end]).ok_or_else(wrong)?;
        let part = number.checked_mul(*micros).map(Duration::from_micros).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &after[end..];
    }
    Ok(total)
}

/// Writes a duration as [`parse`] reads it, to the microsecond.
pub fn format(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, size) in UNITS {
        if micros >= size {
            write!(text, "{}{unit}", micros / size).expect("a String takes every write");
            micros %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A duration for people: whole seconds above ten, milliseconds below.
pub fn format_rounded(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    format(Duration::from_millis(if millis >= 10_000 { millis / 1000 * 1000 } else { millis }))
}

/// For `#[serde(with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

/// For `#[serde(with)]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration with its unit, such as \"500ms\", \"2s\" or \"1m30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }
}

/// The same for an `Option<Duration>`, with `#[serde(default, with = "runtime::config::duration::option")]`. An empty
/// text is `None`, so that a variable can take a default away.
pub mod option {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    /// For `#[serde(with)]`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.filter(|text| !text.is_empty()).map(|text| super::parse(&text).map_err(D::Error::custom)).transpose()
    }

    /// For `#[serde(with)]`.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::format(*duration)),
            None => serializer.serialize_none(),
        }
    }
}
