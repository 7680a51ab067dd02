//! Docker Compose, when it is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use tests::skipped;

use super::file::root;

/// A Docker Compose that knows the file's format.
pub struct DockerCompose(Vec<String>);

impl DockerCompose {
    /// Finds one: Docker's plugin, or `docker-compose` on PATH, as `compose install --also docker-compose` makes it. Says
    /// loudly when there is none.
    pub fn find(test: &str) -> Option<Self> {
        let mut reason = "there is neither `docker compose` nor `docker-compose`".to_owned();
        let candidates = [vec!["docker".to_owned(), "compose".to_owned()], vec!["docker-compose".to_owned()]];
        for words in candidates {
            match version(&words) {
                // The first line of Docker Compose knows neither the name of a project nor secrets from the environment.
                Some(version) if version.starts_with("1.") => reason = format!("`{}` is {version}", words.join(" ")),
                Some(_) => return Some(Self(words)),
                None => {}
            }
        }
        skipped(test, &format!("{reason}; install Docker Compose 2.24 or newer"));
        None
    }

    /// Runs it on our file with the variables of an env file and no others.
    pub fn run(&self, env_file: &Path, variables: &BTreeMap<String, String>, args: &[&str]) -> Output {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]).arg("--file").arg(root().join("compose/docker-compose.yml"));
        command.arg("--env-file").arg(env_file).args(args);
        for name in variables.keys() {
            command.env_remove(name);
        }
        command.output().unwrap()
    }
}

fn version(words: &[String]) -> Option<String> {
    let output = Command::new(&words[0]).args(&words[1..]).args(["version", "--short"]).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !version.is_empty()).then_some(version)
}
