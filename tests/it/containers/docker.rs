//! Docker Compose, when it is there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runtime::config::Environment;

use super::file::root;

/// A Docker Compose that knows the file's format.
pub struct DockerCompose(Vec<String>);

impl DockerCompose {
    /// Finds one: Docker's plugin, `docker-compose` on PATH, the one that was installed for us. Says loudly when there
    /// is none.
    pub fn find(test: &str) -> Option<Self> {
        let mut reason = "there is neither `docker compose` nor `docker-compose`".to_owned();
        let mut candidates = vec![vec!["docker".to_owned(), "compose".to_owned()], vec!["docker-compose".to_owned()]];
        candidates.extend(installed().map(|path| vec![path.display().to_string()]));
        for words in candidates {
            match version(&words) {
                // The first line of Docker Compose knows neither the name of a project nor secrets from the environment.
                Some(version) if version.starts_with("1.") => reason = format!("`{}` is {version}", words.join(" ")),
                Some(_) => return Some(Self(words)),
                None => {}
            }
        }
        // Past the capture of the test runner, so that a person sees it and CI counts it.
        let line = format!("\nSKIPPED: {test}: {reason}; install Docker Compose 2.24 or newer\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
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

/// Where `compose install` puts programs.
fn installed() -> Option<PathBuf> {
    let environment = Environment::process();
    let home = environment.var("HOME").map(|home| Path::new(home).join(".cache"));
    let cache = environment.var("XDG_CACHE_HOME").map(PathBuf::from).or(home)?;
    Some(cache.join("highwater/bin/docker-compose"))
}
