//! Comparing two generations, row by row.

mod concerned;

use std::cmp::Ordering;

use futures::TryStreamExt as _;
use serde_json::{Map, Value};

use crate::ddl::TableShape;
use crate::snapshot::{KeyedRow, Snapshot};
use crate::{Checkpoint, Error};

use concerned::Clues;

/// Longest text shown of one cell.
const MAX_CELL_CHARS: usize = 200;

/// What comparing found.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Where both were folded to.
    pub checkpoint: Checkpoint,
    /// How many keys were compared, over all tables.
    pub rows: u64,
    /// How many of them differ.
    pub differing: u64,
    /// The same numbers for each table, by name.
    pub tables: Vec<TableCount>,
    /// The first of those that differ, up to the limit given.
    pub differences: Vec<Difference>,
}

/// What comparing one table found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// How many keys were compared.
    pub rows: u64,
    /// How many of them differ.
    pub differing: u64,
}

/// A row that is not the same in both generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The row's primary key, columns joined by ` / `.
    pub key: String,
    /// The row in the left one: its columns that differ, as a JSON object, long cells cut. None when it has no such row.
    pub left: Option<String>,
    /// The row in the right one, likewise.
    pub right: Option<String>,
    /// Sequence numbers of events that it comes from, as the right one has them: the newest few, the newest last.
    pub events: Vec<u64>,
    /// Whether there are more than these.
    pub more_events: bool,
}

/// What is found on the way.
struct Found {
    comparison: Comparison,
    max_differences: usize,
    /// For each of the differences, what it says of its events.
    clues: Vec<Clues>,
}

/// Compares every row of every table of two generations, at equal checkpoints. Both are streamed in the order of their
/// primary keys, each from its own snapshot; at most `max_differences` are kept, each with the events that the right one has
/// for it.
pub async fn compare(left: &mut Snapshot, right: &mut Snapshot, max_differences: usize) -> Result<Comparison, Error> {
    let checkpoint = left.checkpoint();
    if checkpoint != right.checkpoint() {
        return Err(Error::refused(format!(
            "{} is at {}, {} at {}, or they were folded from different journals: they cannot be compared",
            left.generation(),
            checkpoint.sequence(),
            right.generation(),
            right.checkpoint().sequence()
        )));
    }
    if left.tables() != right.tables() {
        let reason = format!("{} and {} have different tables or columns", left.generation(), right.generation());
        return Err(Error::Unfit { reason });
    }
    let comparison = Comparison { checkpoint, rows: 0, differing: 0, tables: Vec::new(), differences: Vec::new() };
    let mut found = Found { comparison, max_differences, clues: Vec::new() };
    for table in left.tables().to_vec() {
        let (rows, differing) = (found.comparison.rows, found.comparison.differing);
        compare_table(left, right, &table, &mut found).await?;
        let (rows, differing) = (found.comparison.rows - rows, found.comparison.differing - differing);
        found.comparison.tables.push(TableCount { table: table.name, rows, differing });
    }
    let Found { mut comparison, clues, .. } = found;
    concerned::name_events(right.connection(), &mut comparison.differences, &clues, checkpoint.n).await?;
    Ok(comparison)
}

async fn compare_table(
    left: &mut Snapshot,
    right: &mut Snapshot,
    table: &TableShape,
    found: &mut Found,
) -> Result<(), Error> {
    let (mut lefts, mut rights) = (left.rows(table), right.rows(table));
    let (mut a, mut b) = futures::try_join!(lefts.try_next(), rights.try_next())?;
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.key.cmp(&b.key),
        };
        found.comparison.rows += 1;
        let (from_left, from_right) = match order {
            Ordering::Less => (a.take(), None),
            Ordering::Greater => (None, b.take()),
            Ordering::Equal => (a.take(), b.take()),
        };
        if from_left.as_ref().map(|row| &row.json) != from_right.as_ref().map(|row| &row.json) {
            found.comparison.differing += 1;
            if found.clues.len() < found.max_differences {
                let (difference, clues) = difference(table, from_left.as_ref(), from_right.as_ref())?;
                found.comparison.differences.push(difference);
                found.clues.push(clues);
            }
        }
        if from_left.is_some() {
            a = lefts.try_next().await?;
        }
        if from_right.is_some() {
            b = rights.try_next().await?;
        }
    }
}

fn difference(
    table: &TableShape,
    left: Option<&KeyedRow>,
    right: Option<&KeyedRow>,
) -> Result<(Difference, Clues), Error> {
    let parse = |row: &KeyedRow| -> Result<Map<String, Value>, Error> {
        serde_json::from_str(&row.json).map_err(|e| Error::inconsistent("row_to_json", "row", e.to_string()))
    };
    let key = left.or(right).map(|row| row.key.join(" / ")).unwrap_or_default();
    let (left, right) = (left.map(parse).transpose()?, right.map(parse).transpose()?);
    let show = |row: &Map<String, Value>, other: Option<&Map<String, Value>>| {
        let differing = row.iter().filter(|(column, value)| other.and_then(|other| other.get(*column)) != Some(value));
        let cells: Map<String, Value> = differing.map(|(column, value)| (column.clone(), cut(value))).collect();
        Value::Object(cells).to_string()
    };
    let mut clues = Clues::default();
    for row in left.iter().chain(&right) {
        clues.add(&table.name, row);
    }
    let difference = Difference {
        table: table.name.clone(),
        key,
        left: left.as_ref().map(|row| show(row, right.as_ref())),
        right: right.as_ref().map(|row| show(row, left.as_ref())),
        events: Vec::new(),
        more_events: false,
    };
    Ok((difference, clues))
}

fn cut(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > MAX_CELL_CHARS => {
            Value::String(text.chars().take(MAX_CELL_CHARS).chain("...".chars()).collect())
        }
        other => other.clone(),
    }
}
