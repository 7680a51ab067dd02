//! Nodes whose disk was wiped, or changed for an empty one: each gets a new marker, and is filled by the replicators.
//!
//! The event comes before the marker. A crash in between ends in one more event, never in a marker that the journal does
//! not know, under which copies would be reported that the fold ignores. As each event has the whole node copied anew, it is
//! only published for a disk that was seen to take a marker, and what fails then is not tried again at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use blobs::{Marker, Node};
use journal::{Disk, Journal, Markers};
use proto::{Fact, MarkerId, NodeId, NodeWiped};
use runtime::config::duration::format_rounded;
use runtime::program::Process;
use runtime::retry::{Backoff, Policy};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{under_lease, waited};
use crate::config::Duties;
use crate::error::Result;
use crate::files::{Decision, Files};

/// The name of the lease.
const NODES: &str = "nodes";

/// What a look at a node found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It answers, and carries no marker.
    Nothing,
    /// It carries one, or does not answer: either is the business of the health check.
    Other,
}

/// How often in a row each node carried no marker.
#[derive(Debug, Default)]
struct Looks(BTreeMap<NodeId, u32>);

/// The nodes that could not be taken back, and when each is tried again.
#[derive(Debug)]
struct Failures {
    policy: Policy,
    by_node: BTreeMap<NodeId, (Backoff, Instant)>,
}

/// Looks after the markers of the nodes, until the soft shutdown.
pub(crate) async fn wiped(files: Files, config: Duties, markers: Arc<Markers>, holder: String, process: Process) {
    let shutdown = process.shutdown.clone();
    let mut looks = Looks::default();
    let mut failures = Failures { policy: config.wiped_retry.clone(), by_node: BTreeMap::new() };
    while waited(config.nodes_interval, &shutdown).await {
        let mut wiped = tokio::select! {
            biased;
            () = shutdown.soft_cancelled() => return,
            wiped = look(&files, &markers, &mut looks, config.wiped_after) => wiped,
        };
        failures.by_node.retain(|node, _| wiped.iter().any(|other| other.id() == node));
        wiped.retain(|node| failures.is_due(node.id()));
        if !wiped.is_empty() {
            let work = take_back_all(&files, &markers, &wiped, &mut failures, &process);
            Box::pin(under_lease(&files, NODES, &holder, &shutdown, work)).await;
        }
    }
}

/// The nodes that count as wiped after this look.
async fn look(files: &Files, markers: &Markers, looks: &mut Looks, wiped_after: u32) -> Vec<Node> {
    let Some(opened) = files.opened() else { return Vec::new() };
    if let Err(error) = markers.refresh().await {
        debug!("cannot ask for the markers of the nodes now: {error}");
        return Vec::new();
    }
    let mut wiped = Vec::new();
    for node in opened.nodes.all() {
        let id = node.id();
        if markers.get(id).is_none() {
            // It waits for `gateway init`.
            continue;
        }
        let count = looks.note(id, seen(node).await);
        if count == 1 {
            warn!(
                node.id = %id,
                "node {id} answers, but its bucket carries no marker: it counts as wiped after {wiped_after} looks"
            );
        }
        if count >= wiped_after {
            wiped.push(node.clone());
        }
    }
    wiped
}

async fn seen(node: &Node) -> Seen {
    match node.read_marker().await {
        Ok(None) => Seen::Nothing,
        Err(_) if matches!(node.has_bucket().await, Ok(false)) => Seen::Nothing,
        Ok(Some(_)) | Err(_) => Seen::Other,
    }
}

async fn take_back_all(
    files: &Files,
    markers: &Markers,
    wiped: &[Node],
    failures: &mut Failures,
    process: &Process,
) -> Result<()> {
    let Some(opened) = files.opened() else { return Ok(()) };
    for node in wiped {
        // Another gateway may just have done it.
        markers.refresh().await?;
        let id = node.id();
        let Some(disk) = markers.get(id) else { continue };
        if seen(node).await == Seen::Nothing
            && let Err(error) = Box::pin(take_back(files, &opened.journal, node, disk, process)).await
        {
            // The others do not wait for this one.
            let delay = failures.note(id);
            warn!(
                node.id = %id,
                "cannot take back node {id}, which was wiped, and try again in {}: {error:#}", format_rounded(delay)
            );
        }
    }
    Ok(())
}

/// Says that the node was wiped, and once that is decided, marks its new disk.
async fn take_back(files: &Files, journal: &Journal, node: &Node, disk: Disk, process: &Process) -> Result<()> {
    let id = node.id();
    node.ensure_bucket().await?;
    Box::pin(node.check_writes()).await?;
    let marker_id = MarkerId::new(process.ids.v4());
    let wiped = NodeWiped { node: id.clone(), old_marker_id: disk.marker_id, marker_id };
    let receipt = files.by_itself(Fact::NodeWiped(wiped)).await?;
    if receipt.decision != Decision::Applied {
        let reason = receipt.reason.unwrap_or_default();
        warn!(node.id = %id, event.id = %receipt.event_id, "that node {id} was wiped is not accepted: {reason}");
        return Ok(());
    }
    // A person may have brought the old disk back meanwhile.
    if let Some(there) = node.read_marker().await? {
        warn!(node.id = %id, "node {id} has a marker again, {}, which is left alone", there.marker_id);
        return Ok(());
    }
    let marker = Marker {
        cluster_id: journal.identity().cluster,
        node_id: id.clone(),
        marker_id,
        created_at: process.clock.now(),
    };
    node.write_marker(&marker).await?;
    info!(
        node.id = %id, event.id = %receipt.event_id, seq = receipt.sequence.n,
        "node {id} was wiped: its marker is {marker_id} now, instead of {}, and it is filled from the others",
        disk.marker_id
    );
    Ok(())
}

// === impl Failures ===

impl Failures {
    fn is_due(&self, node: &NodeId) -> bool {
        self.by_node.get(node).is_none_or(|(_, due)| *due <= Instant::now())
    }

    /// Takes note of a failure; how long it is until the next try.
    fn note(&mut self, node: &NodeId) -> Duration {
        let now = Instant::now();
        let begun = || (Backoff::new(&self.policy), now);
        let (backoff, due) = self.by_node.entry(node.clone()).or_insert_with(begun);
        let delay = backoff.next_delay();
        *due = now + delay;
        delay
    }
}

// === impl Looks ===

impl Looks {
    /// How often in a row the node carried no marker, with this look.
    fn note(&mut self, node: &NodeId, seen: Seen) -> u32 {
        match seen {
            Seen::Nothing => {
                let count = self.0.entry(node.clone()).or_default();
                *count = count.saturating_add(1);
                *count
            }
            Seen::Other => {
                self.0.remove(node);
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looks_in_a_row_count() {
        let (mut looks, node) = (Looks::default(), "node-a".parse().unwrap());
        let seen = [Seen::Nothing, Seen::Nothing, Seen::Other, Seen::Nothing, Seen::Nothing, Seen::Nothing];
        assert_eq!(seen.map(|seen| looks.note(&node, seen)), [1, 2, 0, 1, 2, 3]);
    }
}
