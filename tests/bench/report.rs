//! Tables and figures.

use std::fmt;

/// A Markdown table.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        eprintln!("{}", cells.join(" | "));
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        Ok(())
    }
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}

/// A rate of `count` things of `size` bytes in `seconds`: in bytes, or in things when they are small.
pub(crate) fn rate(size: u64, count: u64, seconds: f64) -> String {
    if size < 64 * 1024 {
        format!("{:.0}/s", count as f64 / seconds)
    } else {
        format!("{:.0} MB/s", (size * count) as f64 / seconds / 1e6)
    }
}

/// CPU time for each thing, or for each GB when they are large.
pub(crate) fn cpu(size: u64, count: u64, seconds: f64) -> String {
    if size < 64 * 1024 {
        format!("{:.0} us each", seconds / count as f64 * 1e6)
    } else {
        format!("{:.2} s/GB", seconds / ((size * count) as f64 / 1e9))
    }
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes / (1024 * 1024))
}
