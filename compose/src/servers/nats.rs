//! nats-server, the journal's home.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;

use crate::data::{Data, make_dir};

/// The options of nats-server that matter to the journal, as `(key, value)` with dots for nesting: the same here and in
/// the container setup, whatever the ports and folders are.
pub fn options() -> Vec<(&'static str, &'static str)> {
    vec![
        ("server_name", "highwater"),
        // Two missed pings of 10 s: a client that vanished is noticed in half a minute.
        ("ping_interval", "10s"),
        // The only setting that keeps what was acknowledged through a power cut.
        ("jetstream.sync_interval", "always"),
        ("jetstream.max_file_store", "256GB"),
        ("jetstream.max_memory_store", "256MB"),
    ]
}

/// Writes `nats.conf` and returns nothing else to know: the program is started with `-c <path>`.
pub(crate) fn write_conf(data: &Data, listen: SocketAddr, monitor: SocketAddr) -> anyhow::Result<()> {
    make_dir(&data.nats(), 0o700)?;
    let conf = render(&data.nats(), listen, monitor);
    std::fs::write(data.run("nats.conf"), conf).context("write nats.conf")
}

fn render(store: &Path, listen: SocketAddr, monitor: SocketAddr) -> String {
    let mut conf = String::new();
    let mut nested = String::new();
    for (key, value) in options() {
        // Writing to a string cannot fail.
        let _ = match key.split_once('.') {
            Some((_, key)) => writeln!(nested, "  {key}: {value}"),
            None => writeln!(conf, "{key}: {value}"),
        };
    }
    format!(
        "# Written by compose at every start.\nlisten: \"{listen}\"\nhttp: \"{monitor}\"\n{conf}jetstream {{\n  store_dir: {}\n{nested}}}\n",
        quoted(store)
    )
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_in_the_file() {
        let conf = render(Path::new("/data/na ts"), "127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        assert!(conf.contains("store_dir: \"/data/na ts\"\n"), "{conf}");
        assert!(conf.contains("  sync_interval: always\n"), "{conf}");
        assert!(conf.contains("listen: \"127.0.0.1:1\"\nhttp: \"127.0.0.1:2\"\n"), "{conf}");
        assert!(
            options()
                .iter()
                .all(|(key, value)| conf.contains(&format!("{}: {value}", key.rsplit('.').next().unwrap())))
        );
    }
}
