use std::collections::BTreeMap;

use runtime::config::{Environment, Options, load};

use super::*;

const NODES: &str = r#"[
    {"id": "node-a", "endpoint": "http://127.0.0.1:9000", "region": "us-east-1", "bucket": "highwater",
     "access_key": "k", "secret_key_file": "/secret"}
]"#;

fn loaded(settings: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut variables = BTreeMap::from([("HIGHWATER_NODES".to_owned(), NODES.to_owned())]);
    variables.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    match load::<Config>(DEFAULTS, &Options::default(), &Environment::of(variables)) {
        Ok(loaded) => Ok(loaded.value),
        Err(faults) => Err(faults.0.into_iter().map(|fault| fault.key).collect()),
    }
}

#[test]
fn the_defaults_are_valid_once_there_are_nodes() {
    let config = loaded(&[]).unwrap();
    assert_eq!(config.listen.port(), 7420);
    assert_eq!(config.limits.chunk_bytes, 4 << 20);
    assert_eq!(config.nodes.len(), 1);
}

#[test]
fn without_nodes_it_is_refused() {
    assert_eq!(loaded(&[("HIGHWATER_NODES", "[]")]).unwrap_err(), ["nodes"]);
}

#[test]
fn limits_must_fit_what_they_limit() {
    let faults = loaded(&[
        ("HIGHWATER_LIMITS__MAX_UPLOADS", "0"),
        ("HIGHWATER_LIMITS__MAX_PAGE_SIZE", "10"),
        ("HIGHWATER_LIMITS__MAX_FILE_BYTES", "100GiB"),
        ("HIGHWATER_LIMITS__JOURNAL_FULL_PERCENT", "0"),
        ("HIGHWATER_CONNECTIONS__MAX", "0"),
        ("HIGHWATER_HTTP1__MAX_HEADERS", "1KiB"),
        ("HIGHWATER_HTTP1__HEADER_TIMEOUT", "0s"),
        ("HIGHWATER_HTTP2__STREAM_WINDOW", "1KiB"),
        ("HIGHWATER_HTTP2__MAX_FRAME", "1GiB"),
        ("HIGHWATER_METRICS__MAX_SCRAPES", "0"),
        ("HIGHWATER_WATCH__INTERVAL", "0s"),
    ]);
    let expected = [
        "limits.max_uploads",
        "limits.max_page_size",
        "limits.max_file_bytes",
        "limits.journal_full_percent",
        "connections.max",
        "http1.max_headers",
        "http1.header_timeout",
        "http2.stream_window",
        "http2.max_frame",
        "metrics.max_scrapes",
        "watch.interval",
    ];
    assert_eq!(faults.unwrap_err(), expected);
}
