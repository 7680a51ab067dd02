//! What the services make of their command line, environment and files: bad ones are refused with everything that is
//! wrong, good ones are merged, and secrets are never shown.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::ensure;
use runtime::config::Environment;
use tests::{Client, Content, Runner, eventually, program, run, said, signal};

mod defaults;

const SERVICES: [&str; 3] = ["gateway", "replicator", "projector"];

type Args<'a> = &'a [&'a str];
type Env<'a> = &'a [(&'a str, &'a str)];

/// For a service that refuses to start.
const PATIENCE: Duration = Duration::from_mins(1);
const PASSWORD: &str = "hunter2-and-more";

/// A list of nodes as good as any, for services that are not going to start.
fn nodes(secret_key_file: &Path) -> String {
    let node = |id: &str, port: u16| {
        format!(
            r#"{{"id": "{id}", "endpoint": "http://127.0.0.1:{port}", "region": "us-east-1", "bucket": "highwater",
            "access_key": "somebody", "secret_key_file": "{}"}}"#,
            secret_key_file.display()
        )
    };
    format!("[{}, {}]", node("node-a", 9), node("node-b", 10))
}

/// Runs a service to its end, with this environment and nothing else.
fn output(service: &str, args: Args<'_>, env: Env<'_>) -> Output {
    let path = Environment::process().var("PATH").unwrap_or_default().to_owned();
    let env = env.iter().filter(|(name, _)| *name != "HIGHWATER_NODES" || service != "projector");
    let child = Command::new(program(service))
        .args(args)
        .env_clear()
        .env("PATH", path)
        .envs(env.copied().collect::<BTreeMap<_, _>>())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let (tell, ended) = mpsc::channel();
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(PATIENCE) else {
        signal("KILL", pid.into()).unwrap();
        panic!("{service} {args:?} does not end by itself: {}", said(&ended.recv().unwrap().unwrap()));
    };
    output.unwrap()
}

/// The lines of a refusal: exit code 64 and nothing on standard output.
#[track_caller]
fn refusal(service: &str, args: Args<'_>, env: Env<'_>) -> Vec<String> {
    let output = output(service, args, env);
    assert_eq!(output.status.code(), Some(64), "{service} {args:?}: {}", said(&output));
    assert!(output.stdout.is_empty(), "{output:?}");
    said(&output).lines().map(str::to_owned).collect()
}

/// What `--print-config` prints, by key: the value and where it came from.
#[track_caller]
fn printed(service: &str, args: Args<'_>, env: Env<'_>) -> BTreeMap<String, (String, String)> {
    let output = output(service, &[args, &["--print-config"]].concat(), env);
    assert!(output.status.success(), "{service} {args:?}: {}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let parse = |line: &str| {
        let (key, rest) = line.split_once(" = ")?;
        let (value, origin) = rest.rsplit_once("  # ")?;
        Some((key.to_owned(), (value.to_owned(), origin.to_owned())))
    };
    text.lines().map(|line| parse(line).unwrap_or_else(|| panic!("{service}: {line:?}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_a_bad_configuration_are_said_at_once_and_no_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let ports = Runner::new().unwrap();
    let own = [
        ("gateway", "[limits]\nmax_uploads = 0", "limits.max_uploads: must be at least 1"),
        ("replicator", "[replicator]\nconcurrency = 0", "replicator.concurrency: must be at least 1"),
        ("projector", "[projector]\nbatch_events = 0", "projector.batch_events: must be at least 1"),
    ];
    for (service, table, fault) in own {
        let text = format!(
            "surplus = 1\nshutdown_grace = '5 minutes'\n[nuts]\nurl = 'x'\n[nats]\nurll = 'x'\nstream = 'a b'\n{table}\n"
        );
        std::fs::write(&file, text).unwrap();
        // The port is taken: whoever tries to bind it would say so.
        let taken = TcpListener::bind(ports.gateway()).unwrap();
        let listen = ports.gateway();
        let listens = format!("listen={listen}");
        let config = file.display().to_string();
        let mut args = vec!["--config", &config, "--set", "telemetry.format=loud", "--set", "nats.max_bytes=5MiBs"];
        if service == "gateway" {
            args.extend(["--set", &listens]);
        }
        let nodes = nodes(&file);
        let env = [("HIGHWATER_NATS__REPLICAS", "many"), ("HIGHWATER_NODES", nodes.as_str())];
        let mut lines = refusal(service, &args, &env);
        lines.sort();
        let from_file = |fault: &str| format!("{fault} (from file {config})");
        let mut expected = vec![
            from_file("surplus: is not a key of this program"),
            from_file("shutdown_grace: \"5 minutes\" is not a duration such as \"500ms\", \"2s\" or \"1m30s\""),
            from_file("nuts: is not a key of this program"),
            from_file("nats.urll: is not a key of this program"),
            from_file("nats.stream: must be 1 to 64 of A-Z, a-z, 0-9, - and _"),
            from_file(fault),
            "nats.replicas: invalid type: string \"many\", expected u8 (from environment variable \
             HIGHWATER_NATS__REPLICAS)"
                .to_owned(),
            "nats.max_bytes: \"5MiBs\" is not a size such as 4096, \"64KiB\", \"16MiB\" or \"2GiB\" (from flag --set \
             nats.max_bytes)"
                .to_owned(),
        ];
        expected.sort();
        let (format, others): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.starts_with("telemetry."));
        assert_eq!(others, expected, "{service}");
        assert_eq!(format.len(), 1, "{service}: {format:?}");
        assert!(format[0].contains("loud") && format[0].ends_with("(from flag --set telemetry.format)"), "{format:?}");
        drop(taken);
        // A program that another test starts has this test's sockets until it is itself.
        eventually(&format!("{listen} is free"), async || TcpListener::bind(listen)).await;
    }
}

#[test]
fn a_fault_is_found_wherever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let config = file.display().to_string();
    let nodes = nodes(&file);
    let good = ("HIGHWATER_NODES", nodes.as_str());
    for service in SERVICES {
        let flag = refusal(service, &["--set", "nats.urll=x"], &[good]);
        assert_eq!(flag, ["nats.urll: is not a key of this program (from flag --set nats.urll)"]);
        let variable = refusal(service, &[], &[good, ("HIGHWATER_NATS__URLL", "x")]);
        assert_eq!(
            variable,
            ["nats.urll: is not a key of this program (from environment variable HIGHWATER_NATS__URLL)"]
        );
        std::fs::write(&file, "[nats]\nreplicas = true\n").unwrap();
        let in_file = refusal(service, &["--config", &config], &[good]);
        let expected = format!("nats.replicas: invalid type: boolean `true`, expected u8 (from file {config})");
        assert_eq!(in_file, [expected], "{service}");
        // It is refused although it is only asked for its configuration.
        assert_eq!(refusal(service, &["--config", &config, "--print-config"], &[good]), in_file);
        std::fs::write(&file, "[nats\n").unwrap();
        let no_toml = refusal(service, &["--config", &config], &[good]);
        assert!(no_toml.len() == 1 && no_toml[0].contains("is not TOML: line 1"), "{service}: {no_toml:?}");
        let missing = refusal(service, &["--config", "/nowhere/x.toml"], &[good]);
        assert!(missing.len() == 1 && missing[0].starts_with("cannot read /nowhere/x.toml"), "{service}: {missing:?}");
    }
}

#[test]
fn nodes_that_cannot_be_used_are_faults() {
    let folder = tempfile::tempdir().unwrap();
    let quiet = ("HIGHWATER_TELEMETRY__FILTER", "off");
    let missing = nodes(&folder.path().join("no-such-secret"));
    let cases: [(&str, Args<'_>); 3] = [("gateway", &["init"]), ("gateway", &[]), ("replicator", &[])];
    for (service, args) in cases {
        let none = refusal(service, args, &[quiet]);
        assert_eq!(none, ["nodes: must name at least one node (from the defaults)"], "{service}");
        let list = missing.replace("node-b", "node-a").replace("\"us-east-1\"", "\"\"");
        let mut lines = refusal(service, args, &[quiet, ("HIGHWATER_NODES", &list)]);
        lines.sort();
        let expected = ["nodes[0].region: is empty", "nodes[1].id: node-a is used twice", "nodes[1].region: is empty"];
        let expected = expected.map(|fault| format!("{fault} (from environment variable HIGHWATER_NODES)"));
        assert_eq!(lines, expected, "{service}");
        // Found before NATS, which is not there, is waited for.
        let env = [quiet, ("HIGHWATER_NODES", missing.as_str()), ("HIGHWATER_LISTEN", "127.0.0.1:0")];
        let lines = refusal(service, args, &env);
        assert_eq!(lines.len(), 2, "{service}: {lines:?}");
        for (index, line) in lines.iter().enumerate() {
            let start = format!("nodes[{index}].secret_key_file: cannot read the secret in ");
            assert!(line.starts_with(&start), "{service}: {line}");
        }
    }
}

#[test]
fn flags_that_do_not_exist_are_refused_and_help_is_given() {
    for service in SERVICES {
        for args in [["--nonsense"].as_slice(), &["--set"], &["--print-config=maybe"], &["nonsense"]] {
            let lines = refusal(service, args, &[]);
            assert!(lines[0].starts_with("error: "), "{service} {args:?}: {lines:?}");
        }
        let help = output(service, &["--help"], &[]);
        let text = String::from_utf8(help.stdout).unwrap();
        assert_eq!((help.status.code(), help.stderr.len()), (Some(0), 0), "{service}");
        for word in ["--config", "--set", "--print-config", "  0   a clean stop", "  64  a bad flag", "  70  a part"] {
            assert!(text.contains(word), "{service} --help does not know {word}: {text}");
        }
        let version = output(service, &["--version"], &[]);
        assert_eq!(version.status.code(), Some(0));
        assert!(String::from_utf8(version.stdout).unwrap().starts_with(&format!("{service} ")));
    }
}

#[test]
fn a_flag_goes_over_the_environment_over_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.toml");
    std::fs::write(&file, "[nats]\nstream = 'FILE'\nreplicas = 3\nmax_bytes = '2GiB'\n").unwrap();
    let config = file.display().to_string();
    let nodes = nodes(&file);
    let good = ("HIGHWATER_NODES", nodes.as_str());
    let variable = ("HIGHWATER_NATS__STREAM", "VARIABLE");
    let (with_file, with_flag) = (["--config", &config], ["--config", &config, "--set", "nats.stream=FLAG"]);
    for service in SERVICES {
        let steps: [(Args<'_>, Env<'_>, &str, String); 4] = [
            (&[], &[good], "HIGHWATER", "default".to_owned()),
            (&with_file, &[good], "FILE", format!("file {config}")),
            (&with_file, &[good, variable], "VARIABLE", "environment variable HIGHWATER_NATS__STREAM".to_owned()),
            (&with_flag, &[good, variable], "FLAG", "flag --set nats.stream".to_owned()),
        ];
        for (args, env, value, origin) in steps {
            assert_eq!(printed(service, args, env)["nats.stream"], (format!("{value:?}"), origin), "{service}");
        }
        // Each key by itself: what one layer does not say stays as the layer below has it.
        let all = printed(service, &with_flag, &[good, ("HIGHWATER_NATS__REPLICAS", "5")]);
        let origin = |key: &str| all[key].1.as_str();
        assert_eq!(origin("nats.stream"), "flag --set nats.stream");
        assert_eq!(all["nats.replicas"], ("5".to_owned(), "environment variable HIGHWATER_NATS__REPLICAS".to_owned()));
        assert_eq!(all["nats.max_bytes"], ("\"2GiB\"".to_owned(), format!("file {config}")));
        assert_eq!((origin("nats.url"), origin("telemetry.filter")), ("default", "default"));
        if service != "projector" {
            assert_eq!(
                all["nodes[1].id"],
                ("\"node-b\"".to_owned(), "environment variable HIGHWATER_NODES".to_owned())
            );
        }
    }
}

#[test]
fn the_printed_configuration_and_faults_have_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, PASSWORD).unwrap();
    let nodes = nodes(&secret);
    let nats = format!("nats://somebody:{PASSWORD}@127.0.0.1:9");
    let databases = [
        (format!("postgres://somebody:{PASSWORD}@db/highwater"), "\"postgres://somebody:***@db/highwater\""),
        (format!("postgres://db/highwater?password={PASSWORD}"), "\"postgres://db/highwater?password=***\""),
    ];
    for (database, shown) in &databases {
        for service in SERVICES {
            let mut env = vec![("HIGHWATER_NODES", nodes.as_str()), ("HIGHWATER_NATS__URL", nats.as_str())];
            if service != "replicator" {
                env.push(("HIGHWATER_DATABASE__URL", database));
            }
            let all = printed(service, &[], &env);
            assert!(!format!("{all:?}").contains(PASSWORD), "{service}: {all:?}");
            assert_eq!(all["nats.url"].0, "\"nats://somebody:***@127.0.0.1:9\"");
            match service {
                "replicator" => assert_eq!(all["nodes[0].secret_key_file"].0, format!("{secret:?}")),
                _ => assert_eq!(all["database.url"].0, *shown),
            }
        }
    }
    let wrong = [
        ("gateway", format!("database.url=mysql://somebody:{PASSWORD}@db/highwater")),
        ("projector", format!("database.url=mysql://somebody:{PASSWORD}@db/highwater")),
        ("replicator", format!("nats.url=http://somebody:{PASSWORD}@db")),
        ("gateway", format!("nodes={}", nodes.replace("127.0.0.1", &format!("somebody:{PASSWORD}@127.0.0.1")))),
        (
            "replicator",
            format!("nodes={}", nodes.replace("\"region\"", "\"secret_key\"").replace("us-east-1", PASSWORD)),
        ),
    ];
    for (service, set) in wrong {
        let lines = refusal(service, &["--set", &set], &[("HIGHWATER_NODES", &nodes)]);
        assert!(!lines.is_empty() && !lines.join("\n").contains(PASSWORD), "{service}: {lines:?}");
    }
}

/// A file with everything that a service must be told, and what a good one says of the other services besides.
fn write_file(folder: &Path, service: &str, told: &BTreeMap<String, String>) -> anyhow::Result<PathBuf> {
    let mut table = toml::Table::new();
    for (name, value) in told {
        let value = if name == "HIGHWATER_NODES" {
            serde_json::from_str::<toml::Value>(value)?
        } else {
            value.parse().map_or_else(|_| toml::Value::String(value.clone()), toml::Value::Integer)
        };
        let key = name.trim_start_matches("HIGHWATER_").to_lowercase();
        match key.split_once("__") {
            Some((section, key)) => {
                let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
                section.as_table_mut().unwrap().insert(key.to_owned(), value);
            }
            None => drop(table.insert(key, value)),
        }
    }
    let path = folder.join(format!("{service}.toml"));
    std::fs::write(&path, toml::to_string(&table)?)?;
    Ok(path)
}

#[test]
fn services_need_nothing_but_a_file_and_tell_no_secrets_in_their_logs() {
    run(
        |b| b.services(false),
        async |cluster| {
            let folder = tempfile::tempdir()?;
            let command = |service: &str, args: &[&str], log: &str| -> anyhow::Result<tokio::process::Command> {
                let mut told = cluster.stack.env_for(service)?;
                told.insert("HIGHWATER_TELEMETRY__FILTER".to_owned(), "debug".to_owned());
                let file = write_file(folder.path(), service, &told)?;
                let log = std::fs::File::create(folder.path().join(log))?;
                let mut command = tokio::process::Command::new(program(service));
                command.env_clear().arg("--config").arg(file).args(args).kill_on_drop(true);
                command.stdout(Stdio::null()).stderr(log);
                Ok(command)
            };
            for (service, job) in [("projector", "migrate"), ("gateway", "init")] {
                let status = command(service, &[job], &format!("{job}.log"))?.status().await?;
                ensure!(status.success(), "{service} {job}: {status}");
            }
            let mut children = Vec::new();
            for service in SERVICES {
                children.push(command(service, &[], &format!("{service}.log"))?.spawn()?);
            }
            let content = Content::new(1, 20 * 1024 * 1024);
            eventually("an upload is taken", async || {
                anyhow::Ok(Client::connect(cluster.stack.gateway_addr()?).await?.put("a", content).await?)
            })
            .await;
            cluster.replicated("a", 3).await;
            assert_eq!(cluster.client().await?.get("a").await?, content.bytes());
            // One more that fails to log in again and again.
            let url = cluster.stack.database_url()?;
            let password = url::Url::parse(&url)?.password().unwrap().to_owned();
            let wrong = url.replace(&password, PASSWORD);
            let args = ["--set", &format!("database.url={wrong}")];
            let mut stranger = command("projector", &args, "stranger.log")?.spawn()?;
            let log = folder.path().join("stranger.log");
            eventually("it says that it cannot log in", async || {
                let text = std::fs::read_to_string(&log)?;
                ensure!(text.contains("password authentication failed"), "{text}");
                Ok(())
            })
            .await;
            stranger.kill().await?;
            for mut child in children {
                signal("TERM", child.id().unwrap().into())?;
                let status = child.wait().await?;
                ensure!(status.code() == Some(0), "a service ended with {status}");
            }
            let mut secrets = vec![password, PASSWORD.to_owned()];
            for node in cluster.stack.nodes() {
                secrets.push(node.secret_key()?);
            }
            for log in ["migrate", "init", "gateway", "replicator", "projector", "stranger"] {
                let text = std::fs::read_to_string(folder.path().join(format!("{log}.log")))?;
                ensure!(text.contains("DEBUG"), "{log} does not say all that it could: {text}");
                let leak = text.lines().find(|line| secrets.iter().any(|secret| line.contains(secret)));
                ensure!(leak.is_none(), "a secret in the log of {log}: {leak:?}");
            }
            Ok(())
        },
    );
}
