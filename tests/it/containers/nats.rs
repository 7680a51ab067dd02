//! nats.conf: its options are the runner's, and a server that runs with it is set as the runner's is.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tests::{Nats, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::file::text;

/// Where things are is the container's own.
const PLACES: [&str; 3] = ["listen", "http", "jetstream.store_dir"];

#[test]
fn the_options_are_the_runners() {
    let mut ours = flat(&text("compose/nats.conf"));
    for place in PLACES {
        assert!(ours.remove(place).is_some(), "nats.conf does not say {place}");
    }
    let runners: BTreeMap<String, String> =
        compose::nats_options().into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    assert_eq!(ours, runners);
}

#[test]
fn a_server_with_it_is_set_as_the_runners() {
    run(
        |builder| builder.services(false),
        async |cluster| {
            let config = text("compose/nats.conf").replace("0.0.0.0", "127.0.0.1").replace("\"/data\"", "$DIR");
            let container = Nats::start(&config).await?;
            let runners = varz(&cluster.stack.nats_monitor_url().context("no monitor")?).await?;
            let containers = varz(&container.monitor_url).await?;
            let settings = |varz: &Value| {
                let mut jetstream = varz["jetstream"]["config"].clone();
                jetstream.as_object_mut().map(|config| config.remove("store_dir"));
                let others =
                    ["server_name", "ping_interval", "max_payload", "max_connections", "write_deadline", "version"];
                (jetstream, others.map(|key| varz[key].clone()))
            };
            ensure!(settings(&containers) == settings(&runners), "{containers:#}\n{runners:#}");
            ensure!(containers["jetstream"]["config"]["sync_always"] == true, "{containers:#}");
            Ok(())
        },
    );
}

/// `key: value` and one level of `name { .. }`, as `name.key`.
fn flat(conf: &str) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    let mut section = String::new();
    for line in conf.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_suffix('{') {
            section = format!("{}.", name.trim());
        } else if line == "}" {
            section.clear();
        } else {
            let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{line:?} is no option"));
            options.insert(format!("{section}{}", key.trim()), value.trim().to_owned());
        }
    }
    options
}

async fn varz(monitor_url: &str) -> anyhow::Result<Value> {
    let url = url::Url::parse(monitor_url)?;
    let addr = url.socket_addrs(|| None)?[0];
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"GET /varz HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    serde_json::from_str(body).context("read /varz")
}
