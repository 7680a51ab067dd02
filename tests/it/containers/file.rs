//! docker-compose.yml as Docker Compose reads it: merged, with the variables filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

/// The parts that are looked at.
#[derive(Debug, Deserialize)]
pub struct File {
    pub services: BTreeMap<String, Service>,
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Value>,
    pub secrets: BTreeMap<String, Secret>,
}

#[derive(Debug, Deserialize)]
pub struct Service {
    pub image: String,
    pub build: Option<Build>,
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub ports: Vec<String>,
    #[serde(default)]
    pub networks: Vec<String>,
    #[serde(default)]
    pub secrets: Vec<String>,
    #[serde(default)]
    pub volumes: Vec<String>,
    #[serde(default)]
    pub depends_on: BTreeMap<String, Dependency>,
    pub healthcheck: Option<Healthcheck>,
    pub restart: String,
    pub scale: Option<usize>,
    pub container_name: Option<String>,
    pub stop_grace_period: String,
}

#[derive(Debug, Deserialize)]
pub struct Build {
    pub context: String,
    pub dockerfile: String,
}

#[derive(Debug, Deserialize)]
pub struct Dependency {
    pub condition: String,
}

#[derive(Debug, Deserialize)]
pub struct Healthcheck {
    pub test: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Network {
    pub internal: bool,
}

#[derive(Debug, Deserialize)]
pub struct Secret {
    pub environment: String,
}

/// One `${NAME..}` of the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: String,
    pub unset: Unset,
}

/// What becomes of a variable that is not given.
#[derive(Debug, PartialEq, Eq)]
pub enum Unset {
    /// The file is refused, with this message.
    Refused(String),
    /// It has this value.
    Default(String),
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the repository.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// The file with these variables.
pub fn load(variables: &BTreeMap<String, String>) -> anyhow::Result<File> {
    serde_saphyr::from_str(&fill(&text("compose/docker-compose.yml"), variables)?).context("read docker-compose.yml")
}

/// Every variable of a text, in order.
pub fn variables(text: &str) -> anyhow::Result<Vec<Variable>> {
    pieces(text)?.into_iter().filter_map(|(_, variable)| variable.map(anyhow::Ok)).collect()
}

/// Variables and values of an env file; one without a value has an empty one.
pub fn env_file(text: &str) -> BTreeMap<String, String> {
    let entries = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    entries.filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn fill(text: &str, given: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut filled = String::new();
    for (before, variable) in pieces(text)? {
        filled.push_str(before);
        let Some(Variable { name, unset }) = variable else { continue };
        match (given.get(&name).filter(|value| !value.is_empty()), unset) {
            (Some(value), _) => filled.push_str(value),
            (None, Unset::Default(value)) => filled.push_str(&value),
            (None, Unset::Refused(message)) => bail!("{name}: {message}"),
        }
    }
    Ok(filled)
}

/// The text in pieces, each with the variable that follows it.
fn pieces(text: &str) -> anyhow::Result<Vec<(&str, Option<Variable>)>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, left) = after.split_once('}').context("a `${` without its `}`")?;
        let split = |by| inner.split_once(by).map(|(name, word): (&str, &str)| (name.to_owned(), word.to_owned()));
        let variable = match (split(":?"), split(":-")) {
            (Some((name, message)), _) => Variable { name, unset: Unset::Refused(message) },
            (None, Some((name, value))) => Variable { name, unset: Unset::Default(value) },
            (None, None) => bail!("${{{inner}}} is empty when it is not given: write `:?` or `:-`"),
        };
        pieces.push((before, Some(variable)));
        rest = left;
    }
    pieces.push((rest, None));
    Ok(pieces)
}

#[test]
fn variables_are_filled_in() {
    let given = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), String::new())]);
    assert_eq!(fill("x ${A:?why} ${B:-2} ${C:-3}y", &given).unwrap(), "x 1 2 3y");
    assert_eq!(fill("${B:?set it}", &given).unwrap_err().to_string(), "B: set it");
    assert!(fill("${A}", &given).is_err());
}
