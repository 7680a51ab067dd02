//! What the samples of one load come to, as rows of tables.

use super::{Sample, Way};
use crate::Load;
use crate::process::Cpu;
use crate::report::{cpu, mebibytes, median, percentile};

const NOT_THERE: &str = "not there";

/// The samples of one load.
#[derive(Debug)]
pub(crate) struct Figures {
    load: Load,
    samples: Vec<(Way, Sample)>,
}

/// What is to be reached: at least this when copying, of rclone's time; at most that when putting, of MinIO's own.
const FASTER_THAN_RCLONE: [(&str, f64); 3] = [("4 KiB", 1.5), ("1 MiB", 1.2), ("256 MiB", 1.1)];
const OF_OWN_TIME: f64 = 0.75;
const NODES_SHARE: f64 = 0.85;
const REPLICATOR_MIB: u64 = 128;

pub(crate) const COPIES: [&str; 8] =
    ["size", "objects", "Highwater", "`rclone copy`", "`mc mirror`", "faster than rclone", "goal", "faster than mc"];
pub(crate) const PUTS: [&str; 9] =
    ["size", "objects", "clients", "Highwater, on 3 of 3", "MinIO's own", "of its time", "goal", "lag p50", "lag p99"];
pub(crate) const OURS: [&str; 10] = [
    "work",
    "nodes",
    "replicator",
    "gateway",
    "projector",
    "NATS",
    "Postgres",
    "nodes of nodes and replicator",
    "nodes of all",
    "replicator's peak",
];
pub(crate) const THEIRS: [&str; 4] = ["work", "nodes", "program", "nodes of both"];
pub(crate) const GOALS: [&str; 3] = ["goal", "aim", "reached"];

// === impl Figures ===

impl Figures {
    pub(super) fn new(load: Load) -> Self {
        Self { load, samples: Vec::new() }
    }

    pub(super) fn add(&mut self, way: Way, sample: Sample) {
        self.samples.push((way, sample));
    }

    /// A row of [`COPIES`].
    pub(crate) fn copies(&self) -> Vec<String> {
        let name = self.load.name;
        let aim = FASTER_THAN_RCLONE.iter().find(|(size, _)| *size == name);
        vec![
            name.to_owned(),
            self.load.count.to_string(),
            seconds(self.seconds(Way::Copy)),
            seconds(self.seconds(Way::Rclone)),
            seconds(self.seconds(Way::Mirror)),
            ratio(self.ratio(Way::Rclone, Way::Copy)),
            aim.map_or(String::new(), |(_, aim)| format!("{aim}")),
            ratio(self.ratio(Way::Mirror, Way::Copy)),
        ]
    }

    /// A row of [`PUTS`].
    pub(crate) fn puts(&self) -> Vec<String> {
        let lags: Vec<f64> = self.of(Way::Put).flat_map(|sample| sample.lags.clone()).collect();
        vec![
            self.load.name.to_owned(),
            self.load.count.to_string(),
            self.load.clients.to_string(),
            seconds(self.seconds(Way::Put)),
            seconds(self.seconds(Way::Own)),
            ratio(self.ratio(Way::Put, Way::Own)),
            format!("{OF_OWN_TIME}"),
            format!("{:.0} ms", percentile(lags.clone(), 50) * 1e3),
            format!("{:.0} ms", percentile(lags, 99) * 1e3),
        ]
    }

    /// Rows of [`OURS`]: for each copy, and for each object that is put.
    pub(crate) fn ours(&self) -> Vec<Vec<String>> {
        let row = |way: Way, what: &str, times: u64| {
            let used = self.cpu(way);
            let each = |seconds: f64| cpu(self.load.size, self.load.count * times, seconds);
            vec![
                format!("{}: {what}", self.load.name),
                each(used.nodes),
                each(used.replicator),
                each(used.gateway),
                each(used.projector),
                each(used.nats),
                each(used.postgres),
                percent(used.nodes / (used.nodes + used.replicator)),
                percent(used.nodes / used.sum()),
                mebibytes(self.peak(way)),
            ]
        };
        vec![row(Way::Copy, "a copy", 2), row(Way::Put, "put, on 3 of 3", 1)]
    }

    /// Rows of [`THEIRS`].
    pub(crate) fn theirs(&self) -> Vec<Vec<String>> {
        let row = |(way, what, times): (Way, &str, u64)| {
            self.of(way).next()?;
            let nodes = self.cpu(way).nodes;
            let program = median(self.of(way).map(|sample| sample.program).collect());
            let each = |seconds: f64| cpu(self.load.size, self.load.count * times, seconds);
            let has_program = way != Way::Own;
            Some(vec![
                format!("{}: {what}", self.load.name),
                each(nodes),
                if has_program { each(program) } else { String::new() },
                if has_program { percent(nodes / (nodes + program)) } else { String::new() },
            ])
        };
        let ways = [
            (Way::Rclone, "a copy by `rclone copy`", 2),
            (Way::Mirror, "a copy by `mc mirror`", 2),
            (Way::Own, "put, MinIO's own on 3 of 3", 1),
        ];
        ways.into_iter().filter_map(row).collect()
    }

    /// Rows of [`GOALS`].
    pub(crate) fn goals(&self) -> Vec<Vec<String>> {
        let name = self.load.name;
        let mut rows = Vec::new();
        let mut row = |goal: String, aim: String, reached: Option<(bool, String)>| {
            let reached = reached.map_or(NOT_THERE.to_owned(), |(is_reached, figure)| {
                format!("{}: {figure}", if is_reached { "yes" } else { "no" })
            });
            rows.push(vec![goal, aim, reached]);
        };
        if let Some((_, aim)) = FASTER_THAN_RCLONE.iter().find(|(size, _)| *size == name) {
            let found = self.ratio(Way::Rclone, Way::Copy).map(|found| (found >= *aim, format!("{found:.2}")));
            row(format!("copying {name}, faster than rclone"), format!("{aim}"), found);
        }
        let found = self.ratio(Way::Put, Way::Own).map(|found| (found <= OF_OWN_TIME, format!("{found:.2}")));
        row(format!("{name} put and replicated, of MinIO's own time"), format!("at most {OF_OWN_TIME}"), found);
        if name == "4 KiB" {
            let used = self.cpu(Way::Copy);
            let shares = [("nodes and replicator", used.nodes + used.replicator), ("all", used.sum())];
            for (what, whole) in shares {
                let share = used.nodes / whole;
                let found = Some((share >= NODES_SHARE, percent(share)));
                row(format!("copying {name}, the nodes' share of the CPU of {what}"), percent(NODES_SHARE), found);
            }
        }
        let peak = self.peak(Way::Copy).max(self.peak(Way::Put));
        let found = Some((peak < REPLICATOR_MIB * 1024 * 1024, mebibytes(peak)));
        row(format!("{name}, the replicator's memory"), format!("below {REPLICATOR_MIB} MiB"), found);
        rows
    }

    fn of(&self, way: Way) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |(found, _)| *found == way).map(|(_, sample)| sample)
    }

    fn seconds(&self, way: Way) -> Option<f64> {
        let all: Vec<f64> = self.of(way).map(|sample| sample.seconds).collect();
        (!all.is_empty()).then(|| median(all))
    }

    /// Nothing when one of them is not there, or did not do all.
    fn ratio(&self, one: Way, other: Way) -> Option<f64> {
        let (one, other) = (self.seconds(one)?, self.seconds(other)?);
        (one.is_finite() && other.is_finite()).then_some(one / other)
    }

    fn cpu(&self, way: Way) -> Cpu {
        Cpu::median(&self.of(way).map(|sample| sample.cpu).collect::<Vec<_>>())
    }

    fn peak(&self, way: Way) -> u64 {
        self.of(way).map(|sample| sample.peak).max().unwrap_or_default()
    }
}

fn seconds(found: Option<f64>) -> String {
    match found {
        Some(seconds) if seconds.is_finite() => format!("{seconds:.2} s"),
        Some(_) => "not all of them".to_owned(),
        None => NOT_THERE.to_owned(),
    }
}

fn ratio(found: Option<f64>) -> String {
    found.map_or(String::new(), |ratio| format!("{ratio:.2}"))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}
