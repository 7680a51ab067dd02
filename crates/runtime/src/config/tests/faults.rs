//! What a bad configuration is answered with: one line a fault.

use super::*;

/// One bad value somewhere, and the one line it gets.
#[track_caller]
fn one(file: &str, env: (&str, &str), set: &str, expected: &str) {
    let env: &[(&str, &str)] = if env.0.is_empty() { &[] } else { &[env] };
    let set: &[&str] = if set.is_empty() { &[] } else { &[set] };
    assert_eq!(faults(file, env, set), [expected]);
}

#[track_caller]
fn in_file(file: &str, expected: &str) {
    one(file, ("", ""), "", &format!("{expected} (from file FILE)"));
}

#[track_caller]
fn in_variable(name: &str, value: &str, expected: &str) {
    one("", (name, value), "", &format!("{expected} (from environment variable {name})"));
}

#[track_caller]
fn in_flag(set: &str, expected: &str) {
    one("", ("", ""), set, &format!("{expected} (from flag --set {})", set.split('=').next().unwrap()));
}

#[test]
fn what_the_service_checks() {
    in_variable("HIGHWATER_NATS__URL", "", "nats.url: is empty");
    in_file("[nats]\nurl = ''", "nats.url: is empty");
    in_flag("nats.replicas=2", "nats.replicas: must be odd");
}

#[test]
fn keys_that_do_not_exist() {
    in_file("[nats]\nurll = 'x'", "nats.urll: is not a key of this program");
    in_file("[nuts]\nurl = 'x'", "nuts: is not a key of this program");
    in_file("listne = 'x'", "listne: is not a key of this program");
    in_variable("HIGHWATER_NATS__URLL", "x", "nats.urll: is not a key of this program");
    in_variable("HIGHWATER_NUTS__URL", "x", "nuts: is not a key of this program");
    in_flag("listne=x", "listne: is not a key of this program");
    in_flag("listen.port=7", "listen.port: does not exist: listen is no table");
}

#[test]
fn values_of_another_type() {
    in_file("[nats]\nreplicas = 'three'", r#"nats.replicas: invalid type: string "three", expected u8"#);
    in_file("[nats]\nreplicas = '3'", r#"nats.replicas: invalid type: string "3", expected u8"#);
    in_file("nats = 7", "nats: invalid type: integer `7`, expected struct Nats");
    let variable = "HIGHWATER_NATS__REPLICAS";
    in_variable(variable, "300", "nats.replicas: invalid value: integer `300`, expected u8");
    in_variable(variable, "many", r#"nats.replicas: invalid type: string "many", expected u8"#);
    in_variable(variable, "true", r#"nats.replicas: invalid type: string "true", expected u8"#);
    let example = r#"a duration such as "500ms", "2s" or "1m30s""#;
    in_file("shutdown_grace = '5 minutes'", &format!(r#"shutdown_grace: "5 minutes" is not {example}"#));
    let example = r#"a duration with its unit, such as "500ms", "2s" or "1m30s""#;
    in_file("shutdown_grace = 5", &format!("shutdown_grace: invalid type: integer `5`, expected {example}"));
}

#[test]
fn lists_and_tables_as_text() {
    in_variable("HIGHWATER_NODES", "[{", "nodes: is not JSON: EOF while parsing an object at line 1 column 2");
    in_variable("HIGHWATER_NODES", "a,b", r#"nodes: invalid type: string "a,b", expected a sequence"#);
    in_variable("HIGHWATER_NODES__0__ID", "x", "nodes.0.id: cannot be set alone: set all of nodes, as JSON");
    in_flag("nodes[0].id=x", "nodes[0].id: cannot be set alone: set all of nodes, as JSON");
    let advice = "is a table: set its keys one by one, or all of it as a JSON object";
    in_variable("HIGHWATER_NATS", "nats://x", &format!("nats: {advice}"));
    one("", ("", ""), "nats", "nats: must be written KEY=VALUE (from flag --set)");
}

#[test]
fn all_faults_at_once() {
    let file = "
        listen = 'here'
        surplus = 1
        [nats]
        url = ''
        replicas = 'x'
        max_bytes = '5 MiBs'
        [[nodes]]
        id = 'a'
        [[nodes]]
        id = 'a'
        endpoint = 7
        colour = 'red'
        [[nodes]]
        endpoint = 'http://c'
    ";
    let expected = [
        "nats.max_bytes: \"5 MiBs\" is not a size such as 4096, \"64KiB\", \"16MiB\" or \"2GiB\" (from file FILE)",
        "nats.replicas: invalid type: string \"x\", expected u8 (from file FILE)",
        "listen: invalid socket address syntax (from file FILE)",
        "nodes[0].endpoint: is missing (from file FILE)",
        "nodes[1].colour: is not a key of this program (from file FILE)",
        "nodes[1].endpoint: invalid type: integer `7`, expected a string (from file FILE)",
        "nodes[2].id: is missing (from file FILE)",
        "surplus: is not a key of this program (from file FILE)",
        "nats.url: is empty (from file FILE)",
        "nodes[1].id: is used twice (from file FILE)",
    ];
    let mut found = faults(file, &[], &[]);
    let mut expected = expected.map(str::to_owned).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_is_not_there_or_not_toml() {
    let options = Options { config: Some("/nowhere/x.toml".into()), ..Options::default() };
    let faults = load::<Config>(DEFAULTS, &options, &Environment::default()).unwrap_err();
    let expected = "cannot read /nowhere/x.toml: No such file or directory (os error 2) (from flag --config)";
    assert_eq!(faults.to_string(), expected);
    let faults = self::faults("[nats]\nurl = 'x'\npassword = 'tell nobody", &[], &["nats.replicas=2"]);
    assert_eq!(faults.len(), 2);
    assert!(faults[0].starts_with("FILE is not TOML: line 3: "), "{faults:?}");
    assert!(!faults[0].contains("nobody"));
}

#[test]
fn a_key_without_default_that_nobody_gave() {
    let options = Options::default();
    let defaults = "listen = '127.0.0.1:1'\nshutdown_grace = '1s'\nnodes = []\n[database]\nurl = ''\n[nats]\nreplicas = 1\n\
                    max_bytes = 1\nsync_check = true\nratio = 1";
    let faults = load::<Config>(defaults, &options, &Environment::default()).unwrap_err();
    assert_eq!(faults.to_string(), "nats.url: is missing");
}

#[test]
fn faults_do_not_tell_secrets() {
    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "it never comes into being")]
    struct Picky {
        secret_key: u8,
        url: u8,
    }
    impl Validate for Picky {
        fn faults(&self) -> Vec<Fault> {
            Vec::new()
        }
    }
    let set = vec!["secret_key=tell\"nobody".to_owned(), "url=http://me:nobody@host".to_owned()];
    let options = Options { set, ..Options::default() };
    let faults = load::<Picky>("", &options, &Environment::default()).unwrap_err().to_string();
    assert!(!faults.contains("nobody"), "{faults}");
    assert!(faults.contains("\"***\"") && faults.contains("http://me:***@host"), "{faults}");
}
