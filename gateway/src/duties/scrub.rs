//! Scrubbing: every object of every node is read and compared with the catalog, over and over, no faster than allowed.
//! What is missing or wrong is repaired as an audit does it.

use std::time::Duration;

use bytes::Bytes;
use journal::{Bucket, BucketName};
use runtime::shutdown::Shutdown;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::{under_lease, waited};
use crate::config::Duties;
use crate::error::{Error, Result};
use crate::files::{Files, Finding, Plan, Said};

/// The name of the lease.
const SCRUB: &str = "scrub";
/// How often it is looked whether a node is due.
const ROUND: Duration = Duration::from_mins(1);
/// What an audit may say before it waits to be heard.
const SAID_AHEAD: usize = 16;

/// How far the pass over a node is: the entry of the node in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pass {
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    /// The folder that is next.
    folder: u8,
    /// Whether it came to its end.
    is_done: bool,
}

/// Scrubs the nodes, until the soft shutdown.
pub(crate) async fn scrub(files: Files, config: Duties, holder: String, shutdown: Shutdown) {
    if config.scrub_interval.is_zero() {
        return;
    }
    while waited(config.scrub_interval.min(ROUND), &shutdown).await {
        Box::pin(under_lease(&files, SCRUB, &holder, &shutdown, scrub_all(&files, &config))).await;
    }
}

async fn scrub_all(files: &Files, config: &Duties) -> Result<()> {
    let Some(opened) = files.opened() else { return Ok(()) };
    let bucket = opened.journal.bucket(BucketName::Scrub).await?;
    for node in files.audited_names().await? {
        scrub_node(files, config, &bucket, &node).await?;
    }
    Ok(())
}

/// Goes on with a node's pass, or begins the next one when it is due.
async fn scrub_node(files: &Files, config: &Duties, bucket: &Bucket, node: &str) -> Result<()> {
    let now = files.clock().now();
    let Some(pass) = next_pass(bucket.get(node).await?.as_deref(), now, config.scrub_interval) else { return Ok(()) };
    let plan = Plan {
        is_deep: true,
        repairs: true,
        bytes_per_second: Some(config.scrub_bytes_per_second),
        // After each folder there is a place to go on.
        held_blobs: 0,
    };
    let (sender, receiver) = mpsc::channel(SAID_AHEAD);
    let auditing = async {
        let audited = files.audit_from(node, pass.folder, plan, &sender).await;
        drop(sender);
        audited
    };
    let (audited, kept) = tokio::join!(auditing, keep(bucket, node, &pass, receiver));
    kept?;
    match audited? {
        Some(audited) if audited.error.is_some() => {
            let why = audited.error.unwrap_or_default();
            warn!(node.id = %node, "the node {node} cannot be scrubbed now, it goes on later: {why}");
        }
        Some(audited) => {
            info!(
                node.id = %node,
                "scrubbed the node {node}: {} objects, {} differences, {} of them repaired",
                audited.objects, audited.findings, audited.repaired
            );
        }
        None => {}
    }
    Ok(())
}

/// The pass that an entry asks for now. One that cannot be read is begun anew.
fn next_pass(entry: Option<&[u8]>, now: OffsetDateTime, interval: Duration) -> Option<Pass> {
    let begun = Pass { started_at: now, folder: 0, is_done: false };
    match entry.and_then(|entry| serde_json::from_slice::<Pass>(entry).ok()) {
        Some(pass) if !pass.is_done => Some(pass),
        Some(pass) => (pass.started_at + interval <= now).then_some(begun),
        None => Some(begun),
    }
}

/// Logs what is found, and keeps how far it is, until nothing more is said.
async fn keep(bucket: &Bucket, node: &str, pass: &Pass, mut said: mpsc::Receiver<Said>) -> Result<()> {
    while let Some(said) = said.recv().await {
        let pass = match said {
            Said::Done(Some(folder)) => Pass { folder, ..pass.clone() },
            Said::Done(None) => Pass { is_done: true, ..pass.clone() },
            Said::Finding(finding) => {
                log(&finding);
                continue;
            }
            Said::Progress(_) | Said::Summary(..) => continue,
        };
        let value = serde_json::to_vec(&pass).map_err(Error::internal)?;
        bucket.put(node, Bytes::from(value)).await?;
    }
    Ok(())
}

fn log(finding: &Finding) {
    let Finding { difference, node, key, detail, repaired_by, .. } = finding;
    match repaired_by {
        _ if difference.is_information() => {
            info!(node.id = %node, "scrub: {key} on node {node} is {difference}: {detail}");
        }
        Some(event) => {
            warn!(node.id = %node, "scrub: {key} on node {node} is {difference}: {detail}; event {event} has it repaired");
        }
        None => error!(node.id = %node, "scrub: {key} on node {node} is {difference}, and stays so: {detail}"),
    }
    debug!(?finding, "scrub");
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_pass_goes_on_where_it_was_and_begins_again_when_it_is_due() {
        let start = datetime!(2026-11-01 12:00 UTC);
        let day = Duration::from_hours(24);
        let begun = Pass { started_at: start, folder: 0, is_done: false };
        assert_eq!(next_pass(None, start, day), Some(begun.clone()));
        assert_eq!(next_pass(Some(b"{"), start, day), Some(begun.clone()));
        let next = |pass: &Pass, now| next_pass(Some(&serde_json::to_vec(pass).unwrap()), now, day);
        let half = Pass { folder: 0x80, ..begun.clone() };
        assert_eq!(next(&half, start + 9 * day), Some(half), "late, but not done");
        let done = Pass { is_done: true, ..begun };
        assert_eq!(next(&done, start + day / 2), None);
        assert_eq!(next(&done, start + day), Some(Pass { started_at: start + day, folder: 0, is_done: false }));
    }
}
