//! Runs commands in front of the reader: the command line first, then what it prints.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines};

use crate::answer::{Errand, Running};
use crate::{Progress, Stack};

#[derive(Debug)]
pub(super) struct Teller<'a> {
    pub(super) stack: &'a Stack,
    pub(super) work: PathBuf,
    out: Progress,
}

impl<'a> Teller<'a> {
    pub(super) fn new(stack: &'a Stack, work: &Path) -> Self {
        Self { stack, work: work.to_path_buf(), out: Progress::stdout() }
    }

    /// A heading.
    pub(super) fn chapter(&self, title: &str) {
        self.out.say("");
        self.out.say(format!("== {title}"));
        self.out.say("");
    }

    pub(super) fn say(&self, line: &str) {
        self.out.say(format!("  {line}").trim_end());
    }

    /// Runs one of our own programs and shows all of it. Its standard output comes back.
    pub(super) async fn run(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let mut env = self.stack.whole_env(program)?;
        if program != "highwater" {
            // The story is in the answer; the log of a service's tool would drown it.
            env.insert("HIGHWATER_TELEMETRY__FILTER".to_owned(), "warn".to_owned());
        }
        self.show(self.stack.errand(self.stack.program(program)?, env), program, args).await
    }

    /// Runs one of Postgres's programs and shows all of it.
    pub(super) async fn run_postgres(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let errand = self.stack.errand(self.stack.postgres_program(program)?, self.stack.postgres_env()?);
        self.show(errand, program, args).await
    }

    /// A verb of the runner, as `compose` would carry it out on a stack that is `up`.
    pub(super) async fn verb(&self, verb: &str, name: &str) -> anyhow::Result<()> {
        self.out.say(format!("$ compose {verb} {name}"));
        match verb {
            "stop" => self.stack.stop(name).await,
            "start" => self.stack.start(name).await,
            "pause" => self.stack.pause(name).await,
            "resume" => self.stack.resume(name).await,
            other => bail!("the story has no verb `{other}`"),
        }
    }

    /// Runs one of our own programs without showing it, for a decision of the story; one JSON value for each line.
    pub(super) async fn ask(&self, program: &str, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let mut errand = self.stack.errand(self.stack.program(program)?, self.stack.whole_env(program)?);
        errand.command().args(args).arg("--json").current_dir(&self.work);
        let output = errand.answer().await?;
        output
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("read the JSON of {program}")))
            .collect()
    }

    async fn show(&self, mut errand: Errand, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let shown = line_of(program, args);
        self.out.say(format!("$ {shown}"));
        errand.command().args(args).current_dir(&self.work).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Running { mut child, lifeline: _lifeline } = errand.start()?;
        let mut answers = lines(child.stdout.take())?;
        let mut notes = lines(child.stderr.take())?;
        let mut answered = String::new();
        let (mut more_answers, mut more_notes) = (true, true);
        while more_answers || more_notes {
            let line = tokio::select! {
                // Notes first: what the program says on the way comes before its answer.
                biased;
                line = notes.next_line(), if more_notes => {
                    let line = line?;
                    more_notes = line.is_some();
                    line
                }
                line = answers.next_line(), if more_answers => {
                    let line = line?;
                    more_answers = line.is_some();
                    if let Some(line) = &line {
                        answered.push_str(line);
                        answered.push('\n');
                    }
                    line
                }
            };
            if let Some(line) = line {
                self.say(&line);
            }
        }
        let status = child.wait().await.with_context(|| format!("wait for `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(answered)
    }
}

fn lines<R: AsyncRead>(output: Option<R>) -> anyhow::Result<Lines<BufReader<R>>> {
    Ok(BufReader::new(output.context("the program has no output")?).lines())
}

fn line_of(program: &str, args: &[&str]) -> String {
    let mut words = vec![program.to_owned()];
    words.extend(args.iter().map(|arg| if arg.contains(' ') { format!("'{arg}'") } else { (*arg).to_owned() }));
    words.join(" ")
}
