//! The exit codes and signals of a program, seen from outside: these tests run `examples/service.rs`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead as _, BufReader, Lines};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// The example stands beside the folder of this test's own program; cargo builds it with the tests.
fn program(behaviour: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let built: PathBuf = test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/service");
    let mut command = Command::new(built);
    command.env_clear().env("HIGHWATER_NATS__URL", "nats://127.0.0.1:1").env("HIGHWATER_BEHAVIOUR", behaviour);
    command.env("HIGHWATER_TELEMETRY__FORMAT", "json");
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A program whose log is read as it comes.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    log: String,
}

/// Starts a program and waits until it says that it is ready.
fn start(command: &mut Command) -> Running {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut running = Running { child, lines, log: String::new() };
    running.read_until("service is ready");
    running
}

impl Running {
    fn read_until(&mut self, text: &str) {
        while !self.log.contains(text) {
            let line = self.lines.next().expect("it goes on until then").unwrap();
            self.log += &(line + "\n");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(mut self) -> (ExitStatus, String) {
        let log = self.lines.map(Result::unwrap).fold(self.log, |log, line| log + &line + "\n");
        (self.child.wait().unwrap(), log)
    }
}

#[test]
fn a_signal_ends_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let running = start(&mut program("serve"));
        running.signal(signal);
        let (status, log) = running.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("finishing what is in flight, at most 10s"), "{log}");
        assert!(log.contains("service stopped"), "{log}");
        assert!(log.lines().all(|line| line.starts_with('{')), "every line is JSON: {log}");
    }
}

#[test]
fn the_grace_ends() {
    let running = start(program("stubborn").args(["--set", "shutdown_grace=50ms"]));
    running.signal(Signal::TERM);
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("did not finish within 50ms: stopping at once"), "{log}");
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut running = start(program("stubborn").args(["--set", "shutdown_grace=1h"]));
    running.signal(Signal::INT);
    running.read_until("got SIGINT: finishing what is in flight, at most 1h");
    running.signal(Signal::TERM);
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("got SIGTERM: stopping at once"), "{log}");
}

#[test]
fn what_does_not_let_go_is_left_behind_and_named() {
    let running = start(program("hung").args(["--set", "shutdown_grace=50ms"]));
    running.signal(Signal::TERM);
    let (status, log) = running.wait();
    assert_eq!(status.code(), Some(70), "{log}");
    assert!(log.contains("ends without these tasks, which did not stop: service.hung"), "{log}");
}

#[test]
fn a_died_task_is_70() {
    let (code, _, log) = run(&mut program("die"));
    assert_eq!(code, Some(70), "{log}");
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "logged once: {log}");
    assert!(errors[0].contains("task service.die died: a wheel came off"), "{log}");
}

#[test]
fn a_failed_program_is_70() {
    for (behaviour, said) in [("fail", "service failed: no road"), ("panic", "service panicked: a cliff")] {
        let (code, _, log) = run(&mut program(behaviour));
        assert_eq!(code, Some(70), "{log}");
        let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
        assert!(errors.len() == 1 && errors[0].contains(said), "{log}");
    }
}

#[test]
fn bad_config_is_64_with_one_line_a_fault() {
    let mut command = program("serve");
    let (code, out, faults) = run(command.env("HIGHWATER_NATS__URL", "").args(["--set", "shutdown_grace=soon"]));
    assert_eq!((code, out.as_str()), (Some(64), ""));
    let expected = "shutdown_grace: \"soon\" is not a duration such as \"500ms\", \"2s\" or \"1m30s\" \
                    (from flag --set shutdown_grace)\n\
                    nats.url: is empty (from environment variable HIGHWATER_NATS__URL)\n";
    assert_eq!(faults, expected);
    let (code, _, faults) = run(program("serve").args(["--set", "telemetry.filter=a=b=c"]));
    assert_eq!(code, Some(64));
    assert!(faults.starts_with("telemetry.filter: ") && faults.lines().count() == 1, "{faults}");
    let (code, _, faults) = run(&mut program("refuse"));
    assert_eq!(code, Some(64));
    assert!(faults.contains("listen: is taken by another\n"), "{faults}");
}

#[test]
fn bad_flags_are_64_and_help_is_0() {
    for args in [&["--nonsense"][..], &["nonsense"], &["verify"], &["verify", "x"], &["--config"]] {
        let (code, out, said) = run(program("serve").args(args));
        assert_eq!((code, out.as_str()), (Some(64), ""), "{args:?}");
        assert!(said.contains("Usage:") || said.contains("--help"), "{said}");
    }
    for args in ["--help", "--version", "help"] {
        let (code, out, said) = run(program("serve").arg(args));
        assert_eq!((code, said.as_str()), (Some(0), ""), "{args}");
        assert!(out.contains("service") || out.contains("runtime"), "{out}");
    }
}

#[test]
fn a_subcommand_has_exit_codes_of_its_own() {
    for code in [0, 1, 2] {
        let (exit, _, log) = run(program("serve").args(["verify", &code.to_string()]));
        assert_eq!(exit, Some(code), "{log}");
    }
}

#[test]
fn the_config_is_printed_before_and_after_a_subcommand() {
    for args in
        [&["--print-config"][..], &["run", "--print-config"], &["--set=nats.url=nats://u:p@h", "run", "--print-config"]]
    {
        let (code, out, said) = run(program("serve").args(args));
        assert_eq!((code, said.as_str()), (Some(0), ""));
        assert!(out.contains("shutdown_grace = \"10s\"  # default\n"), "{out}");
        let url = if args.len() == 3 {
            "nats.url = \"nats://u:***@h\"  # flag --set nats.url\n"
        } else {
            "nats.url = \"nats://127.0.0.1:1\"  # environment variable HIGHWATER_NATS__URL\n"
        };
        assert!(out.contains(url), "{out}");
    }
}
