//! The layers of a configuration, merged into one tree that remembers where each value came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::key::{Key, Step};
use super::{Environment, Fault, Options, redact};

const PREFIX: &str = "HIGHWATER_";

/// Variables with the prefix that are not configuration: where the client connects, and the runner's own two.
const RESERVED: [&str; 3] = ["HIGHWATER_ADDR", "HIGHWATER_DATA", "HIGHWATER_PORT_BASE"];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File(PathBuf),
    Variable(String),
    Flag(String),
}

/// The merged tree.
#[derive(Debug, Default)]
pub(super) struct Layers {
    pub(super) tree: Value,
    /// The defaults alone: stand-ins for faulty values, so that the search for faults can go on.
    pub(super) defaults: Value,
    origins: BTreeMap<String, Origin>,
    /// Values given as text, whose type only the key that takes them knows.
    pub(super) texts: BTreeSet<Key>,
    /// Keys from variables without `__`, which may belong to somebody else.
    pub(super) unsure: BTreeSet<Key>,
}

impl Layers {
    /// Reads all layers. Faults of one do not keep the others from being read.
    pub(super) fn gather(defaults: &str, options: &Options, env: &Environment) -> (Self, Vec<Fault>) {
        let mut layers = Self { tree: Value::Object(Map::new()), ..Self::default() };
        let mut faults = Vec::new();
        match parse(defaults) {
            Ok(table) => layers.merge(&Key::default(), table, &Origin::Default),
            Err(problem) => faults.push(Fault::new("", format!("the built-in defaults do not parse: {problem}"))),
        }
        layers.defaults = layers.tree.clone();
        if let Some(path) = &options.config {
            match read(path) {
                Ok(table) => layers.merge(&Key::default(), table, &Origin::File(path.clone())),
                Err(problem) => faults.push(Fault { origin: Some("flag --config".into()), ..Fault::new("", problem) }),
            }
        }
        for (name, value) in env.iter() {
            faults.extend(layers.variable(name, value).err());
        }
        for given in &options.set {
            faults.extend(layers.flag(given).err());
        }
        (layers, faults)
    }

    /// Where the value of a key came from, or of the list it stands in. A table has no origin of its own, and neither
    /// has what is missing in it.
    pub(super) fn origin(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Where a key came from that should not be there: for a table, its first value's origin.
    pub(super) fn origin_within(&self, key: &str) -> Option<&Origin> {
        let under = format!("{key}.");
        let first = || self.origins.iter().find(|(other, _)| other.starts_with(&under)).map(|(_, origin)| origin);
        self.origin(key).or_else(first)
    }

    /// Adds what only the loader knows: the origin. And takes out what nobody may see.
    pub(super) fn finish(&self, mut fault: Fault) -> Fault {
        if fault.origin.is_none() {
            fault.origin = self.origin(&fault.key).map(|origin| match origin {
                Origin::Default => "the defaults".to_owned(),
                origin => origin.to_string(),
            });
        }
        fault
    }

    /// Takes secrets out of a library's message about the value at `key`, which may quote it.
    pub(super) fn hush(&self, key: &Key, message: String) -> String {
        match key.find(&self.tree) {
            Some(Value::String(text)) if !text.is_empty() => {
                let shown = redact::redact(key, text);
                let quoted = format!("{text:?}");
                message.replace(quoted.trim_matches('"'), &shown).replace(text.as_str(), &shown)
            }
            _ => message,
        }
    }

    fn merge(&mut self, at: &Key, value: Value, origin: &Origin) {
        match (at.find(&self.tree), value) {
            (Some(Value::Object(_)), Value::Object(table)) => {
                for (name, value) in table {
                    self.merge(&at.name(&name), value, origin);
                }
            }
            (_, Value::Object(table)) => {
                self.replace(at, Value::Object(Map::new()), origin);
                self.origins.remove(&at.to_string());
                for (name, value) in table {
                    self.merge(&at.name(&name), value, origin);
                }
            }
            (_, value) => self.replace(at, value, origin),
        }
    }

    fn replace(&mut self, at: &Key, value: Value, origin: &Origin) {
        at.put(&mut self.tree, Some(value));
        self.texts.retain(|key| !key.starts_with(at));
        let key = at.to_string();
        let (table, list) = (format!("{key}."), format!("{key}["));
        self.origins.retain(|other, _| !other.starts_with(&table) && !other.starts_with(&list));
        self.origins.insert(key, origin.clone());
    }

    fn variable(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        let Some(path) = name.strip_prefix(PREFIX).filter(|_| !RESERVED.contains(&name)) else {
            return Ok(());
        };
        let key = Key(path.split("__").map(|name| Step::Name(name.to_lowercase())).collect());
        if !path.contains("__") && key.find(&self.tree).is_none() {
            self.unsure.insert(key.clone());
        }
        self.text(&key, value, &Origin::Variable(name.to_owned()))
    }

    fn flag(&mut self, given: &str) -> Result<(), Fault> {
        let Some((key, value)) = given.split_once('=') else {
            let origin = Some("flag --set".to_owned());
            return Err(Fault { origin, ..Fault::new(given, "must be written KEY=VALUE") });
        };
        let (key, origin) = (key.trim(), Origin::Flag(key.trim().to_owned()));
        if let Some((list, _)) = key.split_once('[') {
            let problem = format!("cannot be set alone: set all of {list}, as JSON");
            return Err(Fault { origin: Some(origin.to_string()), ..Fault::new(key, problem) });
        }
        self.text(&Key::dotted(key), value, &origin)
    }

    /// Puts a text where `key` leads, making the tables on the way. A JSON object is merged into a table.
    fn text(&mut self, key: &Key, text: &str, origin: &Origin) -> Result<(), Fault> {
        let fault =
            |at: &Key, problem: &str| Fault { origin: Some(origin.to_string()), ..Fault::new(at.to_string(), problem) };
        for end in 1..key.0.len() {
            let table = Key(key.0[..end].to_vec());
            match table.find(&self.tree) {
                Some(Value::Object(_)) => {}
                None => table.put(&mut self.tree, Some(Value::Object(Map::new()))),
                Some(Value::Array(_)) => {
                    return Err(fault(key, &format!("cannot be set alone: set all of {table}, as JSON")));
                }
                Some(_) => return Err(fault(key, &format!("does not exist: {table} is no table"))),
            }
        }
        if matches!(key.find(&self.tree), Some(Value::Object(_))) {
            return match serde_json::from_str::<Map<String, Value>>(text) {
                Ok(table) => {
                    self.merge(key, Value::Object(table), origin);
                    Ok(())
                }
                Err(_) => Err(fault(key, "is a table: set its keys one by one, or all of it as a JSON object")),
            };
        }
        self.replace(key, Value::String(text.to_owned()), origin);
        self.texts.insert(key.clone());
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(key) => write!(f, "flag --set {key}"),
        }
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|problem| format!("{} is not TOML: {problem}", path.display()))
}

/// Parses TOML. The message names the line but does not quote it: it may hold a secret.
fn parse(text: &str) -> Result<Value, String> {
    let table: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        format!("line {line}: {}", error.message())
    })?;
    Ok(plain(toml::Value::Table(table)))
}

/// Serde's data model has no dates and JSON no endless numbers; both become text, which no key of ours takes for a
/// number.
fn plain(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => {
            serde_json::Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(list) => list.into_iter().map(plain).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
    }
}
