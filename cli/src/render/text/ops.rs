//! What people see who run the system.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proto::v1;

use super::{count, exact_size, facts_text, moment, number, table};
use crate::render::{node_health, plain, replica_state, size, span};

/// The whole status.
pub(crate) fn status(status: &v1::GetStatusResponse) -> String {
    let mut text = String::new();
    if let Some(journal) = &status.journal {
        let v1::Journal { head, stored_bytes, max_bytes, .. } = journal;
        let (stored, max) = (size(*stored_bytes), size(*max_bytes));
        let percent = (u128::from(*stored_bytes) * 100).checked_div(u128::from(*max_bytes)).unwrap_or(0);
        writeln!(text, "journal  head {head}, {stored} of {max} used ({percent} %)")
            .expect("a String takes everything");
    }
    if let Some(catalog) = &status.catalog {
        let v1::Catalog { checkpoint, events_behind, generation, undecodable_events, verified, verify_failures } =
            catalog;
        let behind = count(*events_behind, "event", "events");
        write!(text, "catalog  checkpoint {checkpoint}, {behind} behind, generation {generation}")
            .expect("a String takes everything");
        if *undecodable_events > 0 {
            write!(text, ", {undecodable_events} undecodable").expect("a String takes everything");
        }
        text.push('\n');
        if let Some(verified) = verified {
            writeln!(text, "verified {}", verification(verified)).expect("a String takes everything");
        }
        if *verify_failures > 0 {
            let attempts = count(u64::from(*verify_failures), "attempt", "attempts");
            writeln!(text, "verified not since then: {attempts} failed").expect("a String takes everything");
        }
    }
    text.push_str(&archived(&status.nodes));
    text.push('\n');
    text.push_str(&nodes(&status.nodes));
    let refills: String = status.nodes.iter().filter_map(refill).collect();
    if refills.is_empty() { text } else { text + "\n" + &refills }
}

fn verification(verified: &v1::Verified) -> String {
    let v1::Verified { at, sequence, rows, differing, .. } = verified;
    let rows = count(*rows, "row", "rows");
    let found = match differing {
        0 => format!("{rows} are what the journal says"),
        differing => format!("{differing} of {rows} are not what the journal says"),
    };
    format!("{}, at {sequence}: {found}", moment(at.as_ref()))
}

fn nodes(nodes: &[v1::Node]) -> String {
    let rows = nodes.iter().map(|node| {
        [
            node.node.clone(),
            node_health(node.health),
            node.blobs_stored.to_string(),
            node.blobs_pending.to_string(),
            node.events_behind.to_string(),
            size(node.bytes_pending),
            node.eta.as_ref().map(span).unwrap_or_default(),
            node.blobs_parked.to_string(),
            node.blobs_lost.to_string(),
            node.blobs_erasing.to_string(),
            moment(node.oldest_pending_at.as_ref()),
            plain(&node.reason).into_owned(),
        ]
    });
    let header = [
        "NODE",
        "HEALTH",
        "STORED",
        "PENDING",
        "EVENTS BEHIND",
        "BYTES PENDING",
        "ETA",
        "PARKED",
        "LOST",
        "ERASING",
        "OLDEST PENDING",
        "REASON",
    ];
    table(header, rows, &[2, 3, 4, 5, 6, 7, 8, 9])
}

/// Up to where which nodes have the journal; the others have nothing that is known.
fn archived(nodes: &[v1::Node]) -> String {
    let mut ends: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for node in nodes {
        if let Ok(n) = number(&node.archived_sequence).parse() {
            ends.entry(n).or_default().push(&node.node);
        }
    }
    if ends.is_empty() {
        return String::new();
    }
    let ends = ends.iter().rev().map(|(n, nodes)| format!("up to event {n} on {}", nodes.join(", ")));
    format!("archive  {}\n", ends.collect::<Vec<_>>().join("; "))
}

fn refill(node: &v1::Node) -> Option<String> {
    let v1::Refill { position, until, blobs_copied, bytes_copied, started_at, eta, .. } = node.refill.as_ref()?;
    let (name, since, position) = (&node.node, moment(started_at.as_ref()), number(position));
    let (until, blobs, bytes) = (number(until), count(*blobs_copied, "blob", "blobs"), size(*bytes_copied));
    let position = if position.is_empty() { "0".to_owned() } else { position };
    let eta = eta.as_ref().map(|eta| format!(", done in {}", span(eta))).unwrap_or_default();
    Some(format!("{name} is filled since {since}: event {position} of {until}, {blobs} copied ({bytes}){eta}\n"))
}

/// On how many nodes, and on which rather than others.
pub(crate) fn placement(placement: &v1::Placement) -> String {
    let nodes = count(placement.nodes.len() as u64, "node", "nodes");
    let since = match number(&placement.sequence) {
        n if n.is_empty() => String::new(),
        n => format!(", since event {n}"),
    };
    let copies = match placement.copies {
        0 => format!("each file is on every one of {nodes}{since}"),
        copies => format!("each file is on {copies} of {nodes}{since}"),
    };
    let rows = placement.nodes.iter().map(|node| [node.node.clone(), node.weight.to_string(), node.zone.clone()]);
    format!("{copies}\n\n{}", table(["NODE", "WEIGHT", "ZONE"], rows, &[1]))
}

/// What was given up, as a table.
pub(crate) fn parked(replicas: &[v1::ParkedReplica]) -> String {
    if replicas.is_empty() {
        return "nothing was given up or lost\n".to_owned();
    }
    let rows = replicas.iter().map(|replica| {
        [
            replica.node.clone(),
            replica_state(replica.state),
            replica.blob_id.clone(),
            size(replica.size_bytes),
            number(&replica.sequence),
            replica.attempts.to_string(),
            plain(&replica.path).into_owned(),
            plain(&replica.reason).into_owned(),
        ]
    });
    table(["NODE", "STATE", "BLOB", "SIZE", "SINCE", "ATTEMPTS", "PATH", "REASON"], rows, &[3, 4, 5])
}

/// One sentence about what was asked for again.
pub(crate) fn redriven(answer: &v1::RedriveResponse) -> String {
    if answer.replicas == 0 {
        return "there was nothing to ask for again\n".to_owned();
    }
    let what = count(answer.replicas, "copy or erasure", "copies and erasures");
    format!("asked again for {what}, at {}\n", answer.sequence)
}

/// Why a blob is where it is.
pub(crate) fn explained(explained: &v1::ExplainResponse) -> String {
    let facts = [
        ("blob", explained.blob_id.clone()),
        ("size", exact_size(explained.size_bytes)),
        ("sha256", hex::encode(&explained.sha256)),
        ("state", plain(&explained.state).into_owned()),
        ("versions", explained.references.to_string()),
    ];
    let rows = explained.replicas.iter().map(|one| {
        let replica = one.replica.clone().unwrap_or_default();
        [replica.node, replica_state(replica.state), plain(&one.explanation).into_owned()]
    });
    let nodes = table(["NODE", "STATE", "WHY"], rows, &[]);
    let cut = if explained.events_cut { "more events name it than are shown\n" } else { "" };
    facts_text(&facts) + "\n" + &nodes + "\n" + &super::events(&explained.events) + cut
}

/// What to do once a node is retired.
pub(crate) fn retired(node: &str, answer: &v1::RetireNodeResponse) -> String {
    let (node, sequence) = (plain(node), &answer.sequence);
    format!(
        "{node} is retired, at {sequence}; now take it out of the configuration of every gateway and replicator, and start \
         them anew\n"
    )
}
