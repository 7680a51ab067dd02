//! What `gateway journal` prints on standard output: words for people, or one JSON object.

use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use super::restore::{Found, Restored};
use super::verify::{Archive, Compared};
use crate::args::Restore;

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
pub(super) fn compared(compared: &Compared, json: bool) -> anyhow::Result<()> {
    let text = if json { line(compared)? } else { words(compared) };
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}

#[derive(Serialize)]
struct RestoreReport<'a> {
    old_incarnation: String,
    /// None when nothing was lost.
    incarnation: Option<String>,
    dry_run: bool,
    last_common: u64,
    archived: Option<u64>,
    survived: Option<u64>,
    keeps_catalog: bool,
    moved: u64,
    problems: &'a [String],
    file: Option<&'a std::path::Path>,
}

/// Prints what `restore` did.
pub(super) fn restored(restored: &Restored, flags: &Restore) -> anyhow::Result<()> {
    let text = if flags.json { restored_line(restored, flags)? } else { restored_words(restored, flags) };
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}

fn restored_line(restored: &Restored, flags: &Restore) -> anyhow::Result<String> {
    let report = RestoreReport {
        old_incarnation: restored.old.uuid().simple().to_string(),
        incarnation: restored.new.map(|new| new.uuid().simple().to_string()),
        dry_run: flags.dry_run,
        last_common: restored.last_common,
        archived: restored.found.map(|found| found.archived),
        survived: restored.found.map(|found| found.survived),
        keeps_catalog: restored.keeps_catalog,
        moved: restored.moved,
        problems: &restored.problems,
        file: restored.file.as_deref(),
    };
    Ok(serde_json::to_string(&report)? + "\n")
}

fn restored_words(restored: &Restored, flags: &Restore) -> String {
    let Restored { last_common, moved, .. } = restored;
    let old = restored.old.uuid().simple();
    let mut lines: Vec<String> = restored.problems.iter().map(|problem| format!("not used: {problem}")).collect();
    lines.extend(restored.found.map(|Found { archived, survived }| format!(
        "the journal {old}: events 1 to {archived} are on the nodes, 1 to {last_common} with what the catalog has, 1 to \
         {survived} in the journal that is there"
    )));
    let Some(new) = restored.new.map(|new| new.uuid().simple()) else {
        lines.push("nothing is lost, and nothing was changed".to_owned());
        return lines.join("\n") + "\n";
    };
    let verb = if flags.dry_run { "would be" } else { "was" };
    lines.push(format!("it {verb} restored up to event {last_common} as it was"));
    if *moved > 0 {
        lines.push(format!("{moved} events that only the journal had {verb} put after that"));
    }
    if flags.dry_run {
        lines.push("nothing was changed".to_owned());
        return lines.join("\n") + "\n";
    }
    lines.push(format!("it is the journal {new} from now on"));
    if let Some(file) = &restored.file {
        lines.push(format!("everything in it is in {} as well, until you delete that", file.display()));
    }
    lines.push(
        "objects whose events are lost are kept; once the services run, `highwater ops recover` shows them".to_owned(),
    );
    lines.push(if restored.keeps_catalog {
        "next: start the services; the projector goes on with the catalog that is there".to_owned()
    } else {
        "next: start the services; where the projector refuses the catalog that is there, `projector rebuild --switch`"
            .to_owned()
    });
    lines.join("\n") + "\n"
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
    if last == 0 {
        return format!("{node}: nothing is archived{of}");
    }
    let plural = if segments == 1 { "" } else { "s" };
    format!("{node}: events 1 to {last}{of}, in {segments} segment{plural}")
}
