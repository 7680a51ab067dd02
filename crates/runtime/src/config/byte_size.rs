//! Sizes in configuration: `67108864` or `"64MiB"`, with `#[serde(with = "runtime::config::byte_size")]` on a `u64`,
//! `usize` or `u32`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads a size: a number of bytes, or a number with its unit.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 4096, \"64KiB\", \"16MiB\" or \"2GiB\"");
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let number: u64 = trimmed[..end].parse().map_err(|_| wrong())?;
    let unit = trimmed[end..].trim_start();
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

/// Writes a size in the largest unit that leaves no remainder.
pub fn format(size_bytes: u64) -> String {
    let binary = &UNITS[1..6];
    let fits = binary.iter().rev().find(|(_, bytes)| size_bytes >= *bytes && size_bytes.is_multiple_of(*bytes));
    fits.map_or_else(|| format!("{size_bytes}B"), |(unit, bytes)| format!("{}{unit}", size_bytes / bytes))
}

/// For `#[serde(with)]`.
pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Size(PhantomData))
}

/// For `#[serde(with)]`.
pub fn serialize<S: Serializer, T: Copy + TryInto<u64>>(size: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let size_bytes = (*size).try_into().map_err(|_| serde::ser::Error::custom("a size beyond 64 bits"))?;
    serializer.serialize_str(&format(size_bytes))
}

struct Size<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Size<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 4096, \"64KiB\", \"16MiB\" or \"2GiB\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        self.visit_u64(parse(text).map_err(E::custom)?)
    }

    fn visit_u64<E: Error>(self, size: u64) -> Result<T, E> {
        T::try_from(size).map_err(|_| E::custom(format!("{size} is too large")))
    }

    fn visit_i64<E: Error>(self, size: i64) -> Result<T, E> {
        let size = u64::try_from(size).map_err(|_| E::custom(format!("{size} is less than nothing")))?;
        self.visit_u64(size)
    }
}
