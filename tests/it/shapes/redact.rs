//! What differs from run to run, left out.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};
use tests::Cluster;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Numbers that differ from run to run, as do the bytes that a generation takes; everywhere else a number is part of the
/// snapshot.
const VOLATILE: [&str; 9] =
    ["stored_bytes", "rows", "pid", "seconds", "events_per_second", "archived", "segments", "last_common", "survived"];

/// What differs from run to run within a text, and what the snapshot has instead.
pub struct Redact(Vec<(String, String)>);

impl Redact {
    pub fn new(cluster: &Cluster, folder: &Path) -> anyhow::Result<Self> {
        let gateway = cluster.stack.gateway_addr()?.to_string();
        let postgres = cluster.stack.addr("postgres")?.to_string();
        let folder = folder.display().to_string();
        Ok(Self::of([(folder, "<folder>"), (gateway, "<gateway>"), (postgres, "<postgres>")]))
    }

    /// Each of these texts is shown as another.
    pub fn of(pairs: impl IntoIterator<Item = (String, impl Into<String>)>) -> Self {
        Self(pairs.into_iter().map(|(from, to)| (from, to.into())).collect())
    }

    /// Every line as an object with its fields sorted.
    pub fn lines(&self, text: &[u8]) -> anyhow::Result<String> {
        let mut shown = Vec::new();
        for line in std::str::from_utf8(text)?.lines() {
            let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            ensure!(value.is_object(), "no object: {line}");
            shown.push(serde_json::to_string_pretty(&self.value("", value))?);
        }
        Ok(shown.join("\n"))
    }

    fn value(&self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                let of_tables = fields.iter().any(|(key, _)| key.starts_with("generation"));
                let fields = fields.into_iter().map(|(key, value)| {
                    // What tables take is not what a file has.
                    let taken = of_tables && key.ends_with("_bytes") && value.is_u64();
                    let value = if taken { "<number>".into() } else { self.value(&key, value) };
                    (key, value)
                });
                Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::Array(list) => list.into_iter().map(|value| self.value(key, value)).collect(),
            Value::Number(number) if VOLATILE.contains(&key) && number.as_f64().is_some_and(|number| number >= 0.0) => {
                "<number>".into()
            }
            Value::String(text) => self.text(key, &text).into(),
            other => other,
        }
    }

    fn text(&self, key: &str, text: &str) -> String {
        if let Some((incarnation, n)) = text.split_once('-')
            && is_hex(incarnation, 32)
            && n.parse::<u64>().is_ok()
        {
            return "<sequence>".to_owned();
        }
        let kind = match key {
            // The content of the test is fixed, and so is its digest.
            "sha256" => None,
            "access_key" | "secret_key" | "password" => Some("<secret>"),
            "node" | "subject" if text.starts_with("node-") => Some("<node>"),
            _ if is_hex(text, 64) => Some("<digest>"),
            _ if is_hex(text, 32) => Some("<incarnation>"),
            _ if text.contains('-') && text.parse::<uuid::Uuid>().is_ok() => Some("<uuid>"),
            _ if OffsetDateTime::parse(text, &Rfc3339).is_ok() => Some("<time>"),
            _ => None,
        };
        let kept = || {
            // The number of a system's error differs from system to system.
            let (before, rest) = text.split_once(" (os error ").unwrap_or((text, ")"));
            let after = rest.split_once(')').map_or(rest, |(_, after)| after);
            self.0.iter().fold(format!("{before}{after}"), |text, (from, to)| text.replace(from, to))
        };
        kind.map_or_else(kept, str::to_owned)
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
