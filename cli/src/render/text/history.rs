//! Versions, changes and what undoes them.

use proto::v1;

use super::{count, kind, moment, number, outcome_and_reason, table};
use crate::render::{plain, size, version_kind};

/// Versions as a table.
pub(crate) fn versions(versions: &[v1::Version]) -> String {
    let rows = versions.iter().map(|version| {
        let is_tombstone = version.kind == i32::from(v1::VersionKind::Tombstone);
        let pruned = if version.pruned { ", pruned" } else { "" };
        [
            number(&version.sequence),
            moment(version.created_at.as_ref()),
            plain(&version.actor).into_owned(),
            version_kind(version.kind) + pruned,
            if is_tombstone { String::new() } else { size(version.size_bytes) },
            // As much as people compare by eye; --json has all of it.
            hex::encode(version.sha256.get(..6).unwrap_or_default()),
            version.version_id.clone(),
            version.event_id.clone(),
        ]
    });
    table(["NUMBER", "TIME", "ACTOR", "KIND", "SIZE", "SHA-256", "VERSION", "EVENT"], rows, &[0, 4])
}

/// A line of `watch`, which begins with the place to go on from.
pub(crate) fn change(change: &v1::Change) -> String {
    let (sequence, at, kind) = (&change.sequence, moment(change.time.as_ref()), kind(&change.r#type));
    let (actor, path) = (plain(&change.actor), moved(change));
    let outcome = outcome_and_reason(change.outcome, &change.reason);
    format!("{sequence}  {at}  {kind:<16}  {actor:<12}  {outcome:<12}  {path}").trim_end().to_owned() + "\n"
}

/// What was undone, or would be.
pub(crate) fn undo(answer: &v1::UndoResponse, dry_run: bool) -> String {
    let undone = answer.steps.iter().filter(|step| step.undone).count();
    let (did, changes) = (if dry_run { "would undo" } else { "undid" }, answer.steps.len() as u64);
    if changes == 0 {
        return "nothing to undo\n".to_owned();
    }
    let rows = answer.steps.iter().map(|step| {
        let change = step.change.clone().unwrap_or_default();
        let mark = if step.undone { "yes" } else { "no" };
        let (number, at) = (number(&change.sequence), moment(change.time.as_ref()));
        [number, at, kind(&change.r#type), moved(&change), mark.to_owned(), plain(&step.action).into_owned()]
    });
    let title = format!("{did} {undone} of {}\n\n", count(changes, "change", "changes"));
    title + &table(["NUMBER", "TIME", "EVENT", "PATH", "UNDONE", "ACTION"], rows, &[0])
}

/// Which nodes hold the bytes.
pub(crate) fn waited(answer: &v1::WaitReplicatedResponse) -> String {
    let nodes = count(answer.replicas_stored.into(), "node holds", "nodes hold");
    format!("{nodes} the bytes: {}\n", plain(&answer.nodes.join(", ")))
}

fn moved(change: &v1::Change) -> String {
    match plain(&change.from_path).as_ref() {
        "" => plain(&change.path).into_owned(),
        from => format!("{from} -> {}", plain(&change.path)),
    }
}
