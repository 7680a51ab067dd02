//! What `gateway journal` prints on standard output: words for people, or one JSON object.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use super::verify::{Archive, Compared};

#[derive(Serialize)]
struct VerifyReport<'a> {
    equal: bool,
    /// The journal's last sequence; none when there is no stream.
    sequence: Option<String>,
    archives: Vec<ArchiveReport<'a>>,
    unread: Vec<UnreadReport<'a>>,
}

#[derive(Serialize)]
struct ArchiveReport<'a> {
    node: &'a str,
    incarnation: String,
    segments: usize,
    archived: u64,
    chain: String,
    differing: usize,
    differences: &'a [String],
}

#[derive(Serialize)]
struct UnreadReport<'a> {
    node: &'a str,
    reason: &'a str,
}

/// Prints what `verify` found.
pub(super) fn print(compared: &Compared, json: bool) -> anyhow::Result<()> {
    let text = if json { line(compared)? } else { words(compared) };
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}

fn line(compared: &Compared) -> anyhow::Result<String> {
    let sequence = compared.journal.map(|(incarnation, n)| proto::Sequence { incarnation, n }.to_string());
    let archives = compared.archives.iter().map(|archive| ArchiveReport {
        node: archive.node.as_str(),
        incarnation: archive.incarnation.uuid().simple().to_string(),
        segments: archive.segments,
        archived: archive.last,
        chain: archive.chain.to_string(),
        differing: archive.differing,
        differences: &archive.differences,
    });
    let unread = compared.unread.iter().map(|(node, reason)| UnreadReport { node: node.as_str(), reason });
    let report =
        VerifyReport { equal: compared.is_equal(), sequence, archives: archives.collect(), unread: unread.collect() };
    Ok(serde_json::to_string(&report)? + "\n")
}

fn words(compared: &Compared) -> String {
    let mut lines = Vec::new();
    match compared.journal {
        Some((incarnation, head)) => {
            lines.push(format!("the journal {} ends with event {head}", incarnation.uuid().simple()));
        }
        None => lines.push("there is no journal: its stream does not exist".to_owned()),
    }
    for archive in &compared.archives {
        lines.push(told(archive, compared.journal.map(|(incarnation, _)| incarnation)));
        lines.extend(archive.differences.iter().map(|difference| format!("  different: {difference}")));
        let hidden = archive.differing - archive.differences.len();
        if hidden > 0 {
            lines.push(format!("  and {hidden} more"));
        }
    }
    for (node, reason) in &compared.unread {
        lines.push(format!("{node}: not read: {reason}"));
    }
    lines.push(match (compared.is_equal(), compared.is_whole()) {
        (true, true) => "equal: what is archived is what the journal says".to_owned(),
        (true, false) => "not compared: some nodes could not be read".to_owned(),
        (false, _) => "different: see the lines above".to_owned(),
    });
    lines.join("\n") + "\n"
}

fn told(archive: &Archive, present: Option<proto::Incarnation>) -> String {
    let (node, last, segments) = (&archive.node, archive.last, archive.segments);
    let of = if present == Some(archive.incarnation) {
        String::new()
    } else {
        format!(" of the journal {}", archive.incarnation.uuid().simple())
    };
    match last {
        0 => format!("{node}: nothing is archived{of}"),
        _ => {
            let plural = if segments == 1 { "" } else { "s" };
            format!("{node}: events 1 to {last}{of}, in {segments} segment{plural}")
        }
    }
}
