//! From the merged tree to the service's type, with every fault on the way and not only the first.
//!
//! Serde stops at its first error. So a faulty value is noted, replaced by a stand-in (its default, or anything its key
//! takes) and the tree is decoded again, until it passes. What came as text (a variable, a flag) is first tried as
//! text and then as what it looks like, so that the key alone decides its type.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Fault;
use super::key::Key;
use super::layers::Layers;

/// More rounds than any honest configuration needs; each ends one fault or turns one text into a value.
const MAX_ROUNDS: usize = 1000;

/// What became of the tree.
pub(super) struct Decoded<T> {
    /// The value, with stand-ins where there were faults; `None` when no stand-in would do.
    pub(super) value: Option<T>,
    /// What is wrong with the tree.
    pub(super) faults: Vec<Fault>,
    faulty: BTreeSet<Key>,
}

#[derive(Default)]
struct Search {
    faults: Vec<Fault>,
    /// Each faulty key with the number of stand-ins tried.
    faulty: BTreeMap<Key, usize>,
    /// What was said about a text before it was tried as something else.
    said: BTreeMap<Key, String>,
}

/// Decodes the tree; texts in it become what their keys take.
pub(super) fn decode<T: DeserializeOwned>(layers: &mut Layers) -> Decoded<T> {
    let mut search = Search::default();
    for _ in 0..MAX_ROUNDS {
        let mut unknown = Vec::new();
        let tree = layers.tree.clone();
        let mut note = |path: serde_ignored::Path<'_>| unknown.push(Key::from(&path));
        let watched = serde_ignored::Deserializer::new(&tree, &mut note);
        match serde_path_to_error::deserialize::<_, T>(watched) {
            Ok(value) => {
                for key in unknown {
                    search.unknown(layers, &key);
                }
                return search.end(Some(value));
            }
            Err(error) => {
                let key = Key::from(error.path());
                if !search.step(layers, key, &error.inner().to_string()) {
                    break;
                }
            }
        }
    }
    search.end(None)
}

impl Search {
    /// Deals with one error so that decoding can go on; false when it cannot.
    fn step(&mut self, layers: &mut Layers, key: Key, message: &str) -> bool {
        if let Some(name) = field(message, "unknown field `") {
            let key = if key.ends_with(name) { key } else { key.name(name) };
            let known = key.find(&layers.tree).is_some();
            self.unknown(layers, &key);
            return known;
        }
        if let Some(name) = field(message, "missing field `") {
            let key = key.name(name);
            if !self.faulty.contains_key(&key) {
                self.faults.push(Fault::new(key.to_string(), "is missing"));
            }
            return self.stand_in(layers, &key);
        }
        if self.retype(layers, &key, message) {
            return true;
        }
        if !self.faulty.contains_key(&key) {
            let said = self.said.get(&key).filter(|_| message.starts_with("invalid type"));
            let message = said.map_or(message, String::as_str).to_owned();
            self.faults.push(Fault::new(key.to_string(), layers.hush(&key, message)));
        }
        self.stand_in(layers, &key)
    }

    /// Turns a text at or under the key, which its key does not take as text, into what it looks like.
    fn retype(&mut self, layers: &mut Layers, key: &Key, message: &str) -> bool {
        if !message.starts_with("invalid type: string") && !message.starts_with("data did not match") {
            return false;
        }
        let Some(text) = layers.texts.iter().find(|text| text.starts_with(key)).cloned() else {
            return false;
        };
        layers.texts.remove(&text);
        let Some(Value::String(written)) = text.find(&layers.tree) else {
            return true;
        };
        match looks_like(written) {
            Ok(None) => return false,
            Ok(Some(value)) => {
                self.said.insert(text.clone(), message.to_owned());
                text.put(&mut layers.tree, Some(value));
            }
            Err(problem) => {
                self.faults.push(Fault::new(text.to_string(), problem));
                return self.stand_in(layers, &text);
            }
        }
        true
    }

    fn unknown(&mut self, layers: &mut Layers, key: &Key) {
        key.put(&mut layers.tree, None);
        if !layers.unsure.contains(key) {
            let origin = layers.origin_within(&key.to_string()).map(ToString::to_string);
            self.faults.push(Fault { origin, ..Fault::new(key.to_string(), "is not a key of this program") });
            self.faulty.insert(key.clone(), 0);
        }
    }

    /// Puts the next stand-in where the faulty value was; false when none is left.
    fn stand_in(&mut self, layers: &mut Layers, key: &Key) -> bool {
        let default = key.find(&layers.defaults).cloned();
        let anything =
            [json!("placeholder"), json!("http://placeholder:1"), json!("1s"), json!(1), json!(true), json!([])];
        let mut candidates = default.into_iter().chain(anything);
        let tried = self.faulty.entry(key.clone()).or_insert(0);
        let candidate = candidates.nth(*tried);
        *tried += 1;
        let found = candidate.is_some();
        if found {
            key.put(&mut layers.tree, candidate);
        }
        found
    }

    fn end<T>(self, value: Option<T>) -> Decoded<T> {
        Decoded { value, faults: self.faults, faulty: self.faulty.into_keys().collect() }
    }
}

impl<T> Decoded<T> {
    /// Whether a check's key is at, above or below a key that is faulty already.
    pub(super) fn is_about_a_fault(&self, key: &str) -> bool {
        let under = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.faulty.iter().map(ToString::to_string).any(|faulty| under(key, &faulty) || under(&faulty, key))
    }
}

/// The field that one of serde's two messages about fields names.
fn field<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').next()
}

/// What a text looks like other than text: JSON, a number, a flag.
fn looks_like(text: &str) -> Result<Option<Value>, String> {
    let text = text.trim();
    if text.starts_with(['[', '{']) {
        return serde_json::from_str(text).map(Some).map_err(|error| format!("is not JSON: {error}"));
    }
    let number = || text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number);
    let value = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    Ok(value.or_else(|_| text.parse::<bool>().map(Value::from)).ok().or_else(number))
}
