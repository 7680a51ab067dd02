use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::*;

const DEFAULTS: &str = r#"
# Where the service listens.
listen = "127.0.0.1:7420"
shutdown_grace = "30s"
nodes = []

[nats]
url = "nats://127.0.0.1:4222"
replicas = 1
max_bytes = "10GiB"
sync_check = true
ratio = 0.95

[database]
url = ""
"#;

#[derive(Debug, Deserialize)]
struct Config {
    listen: SocketAddr,
    #[serde(with = "duration")]
    shutdown_grace: Duration,
    #[serde(default)]
    extra: Option<u32>,
    nodes: Vec<Node>,
    nats: Nats,
    database: Database,
}

#[derive(Debug, Deserialize)]
struct Nats {
    url: String,
    replicas: u8,
    #[serde(with = "byte_size")]
    max_bytes: u64,
    sync_check: bool,
    ratio: f32,
    #[serde(default, with = "duration::option")]
    timeout: Option<Duration>,
    #[serde(default)]
    credentials: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Database {
    url: SecretString,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    id: String,
    endpoint: String,
    #[serde(default)]
    #[expect(dead_code, reason = "only its printing is tested")]
    secret_key: Option<SecretString>,
}

impl Validate for Config {
    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.nats.url.is_empty() {
            faults.push(Fault::new("nats.url", "is empty"));
        }
        if self.nats.replicas.is_multiple_of(2) {
            faults.push(Fault::new("nats.replicas", "must be odd"));
        }
        let taken = |(index, node): (usize, &Node)| {
            let twice = self.nodes[..index].iter().any(|other| other.id == node.id);
            twice.then(|| Fault::new(format!("[{index}].id"), "is used twice"))
        };
        faults.extend(within("nodes", self.nodes.iter().enumerate().filter_map(taken).collect()));
        faults
    }
}

/// Loads with a file of this text, these variables, and these flags.
fn with(file: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Loaded<Config>, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, file).unwrap();
    let set = set.iter().map(|&text| text.to_owned()).collect();
    let options = Options { config: (!file.is_empty()).then(|| path.clone()), set, print_config: false };
    let name = path.display().to_string();
    load(DEFAULTS, &options, &Environment::of(env.iter().copied()))
        .map_err(|faults| faults.to_string().lines().map(|line| line.replace(&name, "FILE")).collect())
}

fn faults(file: &str, env: &[(&str, &str)], set: &[&str]) -> Vec<String> {
    with(file, env, set).expect_err("there are faults")
}

#[test]
fn the_defaults_alone() {
    let config = with("", &[], &[]).unwrap().value;
    assert_eq!(config.listen, "127.0.0.1:7420".parse().unwrap());
    assert_eq!((config.shutdown_grace, config.nats.max_bytes), (Duration::from_secs(30), 10 << 30));
    assert_eq!((config.nats.timeout, config.extra), (None, None));
}

#[test]
fn flags_over_variables_over_file_over_defaults() {
    let file = "[nats]\nurl = 'nats://file'\nreplicas = 3\n[database]\nurl = 'postgres://file'";
    let variables = [("HIGHWATER_NATS__URL", "nats://variable"), ("HIGHWATER_DATABASE__URL", "postgres://variable")];
    let config = |env: &[(&str, &str)], set: &[&str]| {
        let value = with(file, env, set).unwrap().value;
        (value.nats.url, value.nats.replicas, value.database.url.expose_secret().to_owned())
    };
    let expected = |nats: &str, database: &str| (nats.to_owned(), 3, database.to_owned());
    assert_eq!(config(&[], &[]), expected("nats://file", "postgres://file"));
    assert_eq!(config(&variables, &[]), expected("nats://variable", "postgres://variable"));
    let set = ["nats.url=nats://first", "nats.url=nats://a=b"];
    assert_eq!(config(&variables, &set), expected("nats://a=b", "postgres://variable"));
}

#[test]
fn text_becomes_what_its_key_takes() {
    let variables = [
        ("HIGHWATER_NATS__REPLICAS", "5"),
        ("HIGHWATER_NATS__SYNC_CHECK", "false"),
        ("HIGHWATER_NATS__RATIO", "0.5"),
        ("HIGHWATER_NATS__MAX_BYTES", "1048576"),
        ("HIGHWATER_NATS__TIMEOUT", "1m30s"),
        ("HIGHWATER_NATS__URL", "4222"),
        ("HIGHWATER_NATS__CREDENTIALS", "12"),
        ("HIGHWATER_LISTEN", "[::1]:0"),
        ("HIGHWATER_EXTRA", "7"),
        ("HIGHWATER_NODES", r#"[{"id": "a", "endpoint": "http://a"}, {"id": "1", "endpoint": "http://b"}]"#),
    ];
    let config = with("", &variables, &["nats.max_bytes=64MiB"]).unwrap().value;
    assert_eq!((config.nats.replicas, config.nats.sync_check, config.nats.max_bytes), (5, false, 64 << 20));
    assert!((config.nats.ratio - 0.5).abs() < 1e-6);
    assert_eq!(config.nats.timeout, Some(Duration::from_secs(90)));
    assert_eq!(config.nats.url, "4222", "text stays text where text is taken");
    assert_eq!(config.nats.credentials.as_deref(), Some(Path::new("12")));
    assert_eq!((config.listen.port(), config.extra), (0, Some(7)));
    let nodes: Vec<_> = config.nodes.iter().map(|node| (node.id.as_str(), node.endpoint.as_str())).collect();
    assert_eq!(nodes, [("a", "http://a"), ("1", "http://b")]);
}

#[test]
fn a_json_object_is_merged_into_a_table() {
    let config = with("", &[("HIGHWATER_NATS", r#"{"replicas": 3}"#)], &[]).unwrap().value;
    assert_eq!((config.nats.replicas, config.nats.url.as_str()), (3, "nats://127.0.0.1:4222"));
}

#[test]
fn variables_that_are_no_configuration_are_left_alone() {
    let others = [
        ("HIGHWATER_ADDR", "x"),
        ("HIGHWATER_DATA", "x"),
        ("HIGHWATER_PORT_BASE", "x"),
        ("HIGHWATER_SOMETHING", "x"),
        ("PATH", "x"),
        ("highwater_nats__url", "x"),
    ];
    assert_eq!(with("", &others, &[]).unwrap().print(), with("", &[], &[]).unwrap().print());
}

#[test]
fn the_printed_configuration() {
    let variables = [
        ("HIGHWATER_DATABASE__URL", "postgres://highwater:hunter2@db/highwater?sslmode=disable"),
        ("HIGHWATER_NODES", r#"[{"id": "a", "endpoint": "http://a", "secret_key": "hunter2"}]"#),
    ];
    let loaded = with("[nats]\nmax_bytes = '1GiB'", &variables, &["nats.replicas=3", "extra=4"]).unwrap();
    let printed = loaded.print();
    let place = loaded.origin("nats.max_bytes").unwrap();
    insta::assert_snapshot!(printed.replace(&place, "file FILE"), @r#"
    extra = 4  # flag --set extra
    listen = "127.0.0.1:7420"  # default
    shutdown_grace = "30s"  # default
    database.url = "postgres://highwater:***@db/highwater?sslmode=disable"  # environment variable HIGHWATER_DATABASE__URL
    nats.max_bytes = "1GiB"  # file FILE
    nats.ratio = 0.95  # default
    nats.replicas = 3  # flag --set nats.replicas
    nats.sync_check = true  # default
    nats.url = "nats://127.0.0.1:4222"  # default
    nodes[0].endpoint = "http://a"  # environment variable HIGHWATER_NODES
    nodes[0].id = "a"  # environment variable HIGHWATER_NODES
    nodes[0].secret_key = "***"  # environment variable HIGHWATER_NODES
    "#);
    assert_eq!(loaded.origin("nodes[0].id").unwrap(), "environment variable HIGHWATER_NODES");
    assert_eq!(loaded.origin("nodes[7]"), loaded.origin("nodes"));
    assert_eq!(loaded.origin("nothing"), None);
}

#[test]
fn passwords_in_urls() {
    let table = [
        ("postgres://user:pw@host/db", "postgres://user:***@host/db"),
        ("postgres://user:p@w/o,rd@host/db", "postgres://user:***@host/db"),
        ("postgres://user@host/db", "postgres://user@host/db"),
        ("postgres://host/db?user=u&password=pw&x=1", "postgres://host/db?user=u&password=***&x=1"),
        ("nats://token@host:4222", "nats://***@host:4222"),
        ("nats://u:p@a:4222,nats://u:p@b:4222", "nats://u:***@a:4222,nats://u:***@b:4222"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("a:b@c", "a:b@c"),
        ("", ""),
    ];
    for (url, shown) in table {
        assert_eq!(redact_url(url), shown);
    }
}

#[test]
fn durations_and_sizes() {
    for (text, millis) in
        [("500ms", 500), ("2s", 2000), ("10m", 600_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)]
    {
        assert_eq!(duration::parse(text), Ok(Duration::from_millis(millis)));
        assert_eq!(duration::format(Duration::from_millis(millis)), text);
    }
    for text in ["", "5", "s", "5 s", "-1s", "1.5s", "5y", "99999999999999d"] {
        assert!(duration::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(duration::format_rounded(Duration::from_micros(12_345_678)), "12s");
    for (text, bytes) in [("64KiB", 65_536), ("16MiB", 16 << 20), ("2GiB", 2 << 30), ("1000B", 1000), ("0B", 0)] {
        assert_eq!(byte_size::parse(text), Ok(bytes));
        assert_eq!(byte_size::format(bytes), text);
    }
    assert_eq!(byte_size::parse("10 MB"), Ok(10_000_000));
    for text in ["", "MiB", "-1", "1.5GiB", "1mib", "99999999999TiB"] {
        assert!(byte_size::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn secrets_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "  s3cret \r\n").unwrap();
    assert_eq!(read_secret(&path).unwrap().expose_secret(), "  s3cret ");
    std::fs::write(&path, "\n").unwrap();
    assert!(matches!(read_secret(&path), Err(SecretError::Empty { .. })));
    std::fs::write(&path, "x".repeat(70_000)).unwrap();
    assert!(matches!(read_secret(&path), Err(SecretError::TooLarge { size_bytes: 70_000, .. })));
    assert!(matches!(read_secret(Path::new("/nowhere")), Err(SecretError::Unreadable { .. })));
}

mod faults;
