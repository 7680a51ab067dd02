//! The merged configuration as text, for `--print-config`.

use std::fmt::Write as _;

use serde_json::Value;

use super::key::{Key, Step};
use super::layers::Layers;
use super::redact::redact;

/// One line a value: `key = value  # origin`.
pub(super) fn print(layers: &Layers) -> String {
    let mut lines = Vec::new();
    walk(&Key::default(), &layers.tree, &mut lines);
    let mut text = String::new();
    for (key, value) in lines {
        let key = key.to_string();
        let origin = layers.origin(&key).map_or_else(|| "default".to_owned(), ToString::to_string);
        writeln!(text, "{key} = {value}  # {origin}").expect("a String takes every write");
    }
    text
}

fn walk(key: &Key, value: &Value, lines: &mut Vec<(Key, String)>) {
    match value {
        Value::Object(table) => {
            // Plain values before tables, as TOML has it.
            let (tables, plain): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| is_table(value));
            for (name, value) in plain.into_iter().chain(tables) {
                walk(&key.name(name), value, lines);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            for (index, value) in list.iter().enumerate() {
                walk(&key.step(Step::Index(index)), value, lines);
            }
        }
        Value::Array(list) => {
            let items = list.iter().map(|value| plain(key, value)).collect::<Vec<_>>().join(", ");
            lines.push((key.clone(), format!("[{items}]")));
        }
        value => lines.push((key.clone(), plain(key, value))),
    }
}

fn is_table(value: &Value) -> bool {
    value.is_object() || value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

fn plain(key: &Key, value: &Value) -> String {
    match value {
        Value::String(text) => Value::String(redact(key, text)).to_string(),
        value => value.to_string(),
    }
}
