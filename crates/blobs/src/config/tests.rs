use super::*;

fn node(id: &str, endpoint: &str, bucket: &str) -> NodeConfig {
    NodeConfig {
        id: id.parse().unwrap(),
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        bucket: bucket.to_owned(),
        access_key: "key".to_owned(),
        secret_key_file: "secret".into(),
    }
}

#[test]
fn the_commented_defaults_are_the_defaults() {
    let commented: Config = toml::from_str(include_str!("../../config.default.toml")).unwrap();
    assert_eq!(commented, Config::default());
    assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
    assert_eq!(Config::default().faults(), vec![]);
}

#[test]
fn every_fault_of_the_settings_is_named() {
    let config = Config {
        send_budget: 1,
        hash_queue: 0,
        breaker_faults: 0,
        read_timeout: Duration::ZERO,
        retry: Policy::new(Duration::ZERO, Duration::from_secs(1)),
        ..Config::default()
    };
    let keys: Vec<String> = config.faults().into_iter().map(|fault| fault.key).collect();
    let expected =
        ["send_budget", "hash_queue", "breaker_faults", "read_timeout", "retry.max_elapsed", "retry.first_delay"];
    assert_eq!(keys, expected);
}

#[test]
fn every_fault_of_the_nodes_is_named() {
    assert_eq!(check_nodes(&[]).len(), 1);
    assert_eq!(check_nodes(&[node("a", "http://127.0.0.1:9000", "one")]), vec![]);
    let nodes = [
        node("a", "http://127.0.0.1:9000", "one"),
        node("a", "http://127.0.0.1:9000/", "one"),
        node("b", "127.0.0.1:9000", "two"),
        node("c", "https://s3.example/path", "x"),
        NodeConfig { region: String::new(), ..node("d", "https://key:word@s3.example", "Two") },
    ];
    let keys: Vec<String> = check_nodes(&nodes).into_iter().map(|fault| fault.key).collect();
    let expected = [
        "[1].id",
        "[1].endpoint",
        "[2].endpoint",
        "[3].endpoint",
        "[3].bucket",
        "[4].endpoint",
        "[4].region",
        "[4].bucket",
    ];
    assert_eq!(keys, expected);
}
