//! The figures of one scrape, in the text format of Prometheus.
//!
//! Each scrape writes a page of its own from one status, so that what is not known now, and a node that is gone, is not on
//! it. Everything is a gauge: it is how things stand, as the journal and the catalog have it.

use std::time::Duration;

use blobs::Health;
use journal::{Archived, Refill};
use prometheus::{Gauge, GaugeVec, Opts, Registry, TextEncoder};
use time::OffsetDateTime;

use crate::files::{JournalStatus, NodeStatus, Status, Transfers, refill_eta};

/// What this gateway sees without asking anybody.
pub(super) struct Seen {
    /// Whether its health says that it is ready.
    pub(super) is_ready: bool,
    /// The uploads that run.
    pub(super) uploads: Transfers,
    /// The downloads that run.
    pub(super) downloads: Transfers,
    /// The time.
    pub(super) now: OffsetDateTime,
}

/// A page of families.
struct Page(Registry);

/// A family with a figure for each node, which may not be known, from a part of its status.
struct Family<T> {
    name: &'static str,
    help: &'static str,
    figure: fn(&T, &Seen) -> Option<f64>,
}

/// What the catalog counts of each node.
const COUNTED: [Family<catalog::NodeStatus>; 8] = [
    Family {
        name: "highwater_node_blobs_stored",
        help: "Blobs that are on the node.",
        figure: |node, _| Some(number(node.blobs_stored)),
    },
    Family {
        name: "highwater_node_blobs_pending",
        help: "Blobs that shall be on the node and are not yet.",
        figure: |node, _| Some(number(node.blobs_pending)),
    },
    Family {
        name: "highwater_node_events_behind",
        help: "Events whose copies are pending, or that reported copies lost which are not there again.",
        figure: |node, _| Some(number(node.events_behind)),
    },
    Family {
        name: "highwater_node_pending_bytes",
        help: "Size of the blobs that are pending or lost on the node.",
        figure: |node, _| Some(number(node.bytes_pending)),
    },
    Family {
        name: "highwater_node_oldest_pending_age_seconds",
        help: "Time since the oldest pending blob of the node was uploaded; absent while nothing is pending.",
        // The time of the event is that of another clock, which may be ahead.
        figure: |node, seen| Some((seen.now - node.oldest_pending_at?).as_seconds_f64().max(0.0)),
    },
    Family {
        name: "highwater_node_blobs_parked",
        help: "Blobs whose copying to the node was given up; somebody must ask for them again.",
        figure: |node, _| Some(number(node.blobs_parked)),
    },
    Family {
        name: "highwater_node_blobs_lost",
        help: "Blobs that were on the node, are not any more, and are copied again.",
        figure: |node, _| Some(number(node.blobs_lost)),
    },
    Family {
        name: "highwater_node_blobs_erasing",
        help: "Blobs that shall be erased from the node and are not yet.",
        figure: |node, _| Some(number(node.blobs_erasing)),
    },
];

/// How soon nothing is pending on each node.
const ENDING: [Family<Duration>; 1] = [Family {
    name: "highwater_node_pending_eta_seconds",
    help: "Time until nothing is pending on the node, as fast as it went lately; absent while its backlog does not shrink.",
    figure: |eta, _| Some(eta.as_secs_f64()),
}];

/// How far the filling of each node has come.
const REFILLED: [Family<Refill>; 4] = [
    Family {
        name: "highwater_node_refill_progress_ratio",
        help: "How much of the journal the filling of the node has gone through; absent while none is under way.",
        figure: |refill, _| (refill.until > 0).then(|| number(refill.position) / number(refill.until)),
    },
    Family {
        name: "highwater_node_refill_blobs_copied",
        help: "Blobs that the filling of the node has copied so far.",
        figure: |refill, _| Some(number(refill.blobs_copied)),
    },
    Family {
        name: "highwater_node_refill_copied_bytes",
        help: "Size of the blobs that the filling of the node has copied so far.",
        figure: |refill, _| Some(number(refill.bytes_copied)),
    },
    Family {
        name: "highwater_node_refill_eta_seconds",
        help: "Time until the node is filled, if it goes on as it did; absent while that cannot be told.",
        figure: |refill, _| refill_eta(refill).as_ref().map(Duration::as_secs_f64),
    },
];

/// How far the archive of the journal is on each node.
const ARCHIVED: [Family<Archived>; 1] = [Family {
    name: "highwater_node_archived_sequence",
    help: "Sequence number up to which the node has the journal in its archive.",
    figure: |archived, _| Some(number(archived.n)),
}];

/// The page.
pub(super) fn page(status: &Status, seen: &Seen) -> prometheus::Result<String> {
    let page = Page(Registry::new());
    page.gateway(seen)?;
    page.journal(status.journal.as_ref().ok())?;
    page.catalog(status)?;
    page.health(&status.nodes)?;
    page.nodes(&COUNTED, &status.nodes, seen, |node| node.counted.as_ref())?;
    page.nodes(&ENDING, &status.nodes, seen, |node| node.counted.as_ref()?.eta.as_ref())?;
    page.nodes(&REFILLED, &status.nodes, seen, |node| node.refill.as_ref())?;
    page.nodes(&ARCHIVED, &status.nodes, seen, |node| node.archived.as_ref())?;
    TextEncoder::new().encode_to_string(&page.0.gather())
}

// === impl Page ===

impl Page {
    /// One figure; not on the page when it is not known.
    fn one(&self, name: &str, help: &str, value: impl Into<Option<f64>>) -> prometheus::Result<()> {
        let Some(value) = value.into() else { return Ok(()) };
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }

    /// A family with labels; not on the page while it has no figure.
    fn family(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        let family = GaugeVec::new(Opts::new(name, help), labels)?;
        self.0.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn gateway(&self, seen: &Seen) -> prometheus::Result<()> {
        let build = self.family("highwater_build_info", "The gateway's version; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        self.one("highwater_ready", "Whether the gateway is ready, as its health says.", flag(seen.is_ready))?;
        let help = "Uploads and downloads that run at this gateway now.";
        let running = self.family("highwater_transfers_in_progress", help, &["direction"])?;
        let help = "Uploads and downloads that may run at this gateway at once.";
        let limit = self.family("highwater_transfers_limit", help, &["direction"])?;
        for (direction, transfers) in [("upload", seen.uploads), ("download", seen.downloads)] {
            running.with_label_values(&[direction]).set(number(transfers.in_progress as u64));
            limit.with_label_values(&[direction]).set(number(transfers.limit as u64));
        }
        Ok(())
    }

    fn journal(&self, journal: Option<&JournalStatus>) -> prometheus::Result<()> {
        let head = journal.and_then(|journal| journal.head);
        let help = "Whether the journal answered this scrape; without its answer, its figures are absent.";
        self.one("highwater_journal_reachable", help, flag(head.is_some()))?;
        let (Some(journal), Some(head)) = (journal, head) else { return Ok(()) };
        let help = "Which life of the journal this is, in which sequences count; always 1.";
        let incarnation = journal.incarnation.uuid().simple().to_string();
        self.family("highwater_journal_info", help, &["incarnation"])?
            .with_label_values(&[incarnation.as_str()])
            .set(1.0);
        self.one("highwater_journal_head_sequence", "Sequence number of the newest event.", number(head.n))?;
        self.one("highwater_journal_used_bytes", "Size of the journal.", number(head.bytes))?;
        let limit = (head.max_bytes < u64::MAX).then(|| number(head.max_bytes));
        let help = "Size at which the journal takes no more events; absent when there is no limit.";
        self.one("highwater_journal_limit_bytes", help, limit)
    }

    fn catalog(&self, status: &Status) -> prometheus::Result<()> {
        let catalog = status.catalog.as_ref().ok();
        let help = "Whether the catalog answered this scrape; without its answer, its figures are absent.";
        self.one("highwater_catalog_reachable", help, flag(catalog.is_some()))?;
        let Some(catalog) = catalog else { return Ok(()) };
        let checkpoint = number(catalog.checkpoint.n);
        let help = "Sequence number up to which the catalog is folded, and of which are all its figures.";
        self.one("highwater_catalog_checkpoint_sequence", help, checkpoint)?;
        let head = status.journal.as_ref().ok().and_then(|journal| journal.head);
        let behind = head.and(status.events_behind()).map(number);
        self.one("highwater_catalog_events_behind", "Events in the journal after the checkpoint.", behind)?;
        let generation = number(catalog.generation.number().into());
        self.one("highwater_catalog_generation", "Generation of the catalog that answers.", generation)?;
        let help = "Events that no version of the program can decode.";
        self.one("highwater_catalog_undecodable_events", help, number(catalog.undecodable_events))?;
        self.verification(&catalog.verification)
    }

    fn verification(&self, verification: &catalog::Verification) -> prometheus::Result<()> {
        let help = "Attempts to verify the catalog since its last verification that came to no result.";
        self.one("highwater_catalog_verify_failures", help, number(verification.failures.into()))?;
        let Some((verified, at)) = verification.last else { return Ok(()) };
        let figures = [
            ("differences", "Rows that are not what the journal says", number(verified.differing)),
            ("rows", "Rows that were compared with what the journal says", number(verified.rows)),
            ("sequence", "Sequence number at which they were compared", number(verified.n)),
            ("timestamp_seconds", "When it ended, in Unix time", (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()),
            ("duration_seconds", "How long it took", verified.took.as_secs_f64()),
        ];
        for (name, help, value) in figures {
            let help = format!("{help}, as the last verification of the catalog found; absent while there was none.");
            self.one(&format!("highwater_catalog_verified_{name}"), &help, value)?;
        }
        Ok(())
    }

    fn health(&self, nodes: &[NodeStatus]) -> prometheus::Result<()> {
        let help =
            "What the node is fit for, as this gateway sees it: 1 for the state that it is in, 0 for the others.";
        let family = self.family("highwater_node_health", help, &["node", "state"])?;
        for node in nodes {
            let now = match &node.health {
                None => "not_configured",
                Some(Health::Healthy) => "healthy",
                Some(Health::Unavailable { .. }) => "unavailable",
                Some(Health::WrongMarker { .. }) => "wrong_marker",
            };
            for state in ["healthy", "unavailable", "wrong_marker", "not_configured"] {
                family.with_label_values(&[node.node.as_str(), state]).set(flag(state == now));
            }
        }
        Ok(())
    }

    /// Families with a figure for each node of which `part` is known.
    fn nodes<T>(
        &self,
        families: &[Family<T>],
        nodes: &[NodeStatus],
        seen: &Seen,
        part: fn(&NodeStatus) -> Option<&T>,
    ) -> prometheus::Result<()> {
        for Family { name, help, figure } in families {
            let gauges = self.family(name, help, &["node"])?;
            for node in nodes {
                if let Some(value) = part(node).and_then(|part| figure(part, seen)) {
                    gauges.with_label_values(&[node.node.as_str()]).set(value);
                }
            }
        }
        Ok(())
    }
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers; they are exact up to 2^53")]
fn number(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests;
