//! Which events a row that differs comes from, so that who reads of it knows where to look.

use std::collections::{BTreeMap, BTreeSet};

use proto::Kind;
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Difference;
use crate::Error;
use crate::records::{number, unsigned};

/// So many events are named for one row.
const MAX_EVENTS: usize = 8;

/// The columns of each table by which the events that concern a row are found, beside those that hold sequences.
const IDS: [(&str, &str); 10] = [
    ("blobs", "blob_id"),
    ("checkpoint", "event_id"),
    ("events", "event_id"),
    ("files", "file_id"),
    ("folders", "folder_id"),
    ("names", "target_id"),
    ("receipts", "event_id"),
    ("replicas", "blob_id"),
    ("spaces", "space_id"),
    ("versions", "event_id"),
];

/// What concerns a space's own row.
const OF_SPACES: [Kind; 4] = [Kind::SpaceCreated, Kind::SpaceRenamed, Kind::SpaceDeleted, Kind::RetentionSet];

/// What a row says of the events that it comes from.
#[derive(Debug, Default)]
pub(super) struct Clues {
    /// Sequences that stand in it.
    sequences: BTreeSet<u64>,
    /// Ids that other tables have sequences for.
    ids: BTreeSet<Uuid>,
}

// === impl Clues ===

impl Clues {
    /// Adds what one side's row says.
    pub(super) fn add(&mut self, table: &str, row: &Map<String, Value>) {
        for (column, value) in row {
            if is_sequence(table, column) {
                self.sequences.extend(value.as_u64());
            } else if IDS.contains(&(table, column.as_str())) {
                self.ids.extend(value.as_str().and_then(|text| text.parse::<Uuid>().ok()));
            }
        }
    }

    /// The newest of the events, up to event `last`; those that stand in the row come before others. And whether there are
    /// more.
    fn events(&self, by_id: &BTreeMap<Uuid, Vec<u64>>, last: u64) -> (Vec<u64>, bool) {
        let known = |n: &u64| (1..=last).contains(n);
        let own: BTreeSet<u64> = self.sequences.iter().copied().filter(known).collect();
        let found = self.ids.iter().filter_map(|id| by_id.get(id)).flatten().copied().filter(known);
        let others: BTreeSet<u64> = found.filter(|n| !own.contains(n)).collect();
        let total = own.len() + others.len();
        let shown = own.into_iter().rev().chain(others.into_iter().rev()).take(MAX_EVENTS);
        let shown: BTreeSet<u64> = shown.collect();
        (shown.into_iter().collect(), total > MAX_EVENTS)
    }
}

/// Names the events of each difference, as the generation of this connection has them, up to event `last`.
pub(super) async fn name_events(
    conn: &mut PgConnection,
    differences: &mut [Difference],
    clues: &[Clues],
    last: u64,
) -> Result<(), Error> {
    let ids: BTreeSet<Uuid> = clues.iter().flat_map(|clues| &clues.ids).copied().collect();
    let by_id = if ids.is_empty() { BTreeMap::new() } else { by_id(conn, ids).await? };
    for (difference, clues) in differences.iter_mut().zip(clues) {
        (difference.events, difference.more_events) = clues.events(&by_id, last);
    }
    Ok(())
}

/// The newest events for each of these ids, one more than are shown. One query for all of them: a generation that was only
/// folded has no index for most of this, so the tables are read whole.
async fn by_id(conn: &mut PgConnection, ids: BTreeSet<Uuid>) -> Result<BTreeMap<Uuid, Vec<u64>>, Error> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let kinds = OF_SPACES.map(|kind| kind.cloud_event_type().to_owned());
    let rows = sqlx::query!(
        r#"WITH concerned AS (
               SELECT file_id AS id, seq FROM events WHERE file_id = ANY($1)
               UNION SELECT space_id, seq FROM events WHERE space_id = ANY($1) AND kind = ANY($2)
               UNION SELECT blob_id, seq FROM event_blobs WHERE blob_id = ANY($1)
               UNION SELECT event_id, seq FROM receipts WHERE event_id = ANY($1)
               UNION SELECT parent_id, from_seq FROM names WHERE parent_id = ANY($1)
               UNION SELECT parent_id, to_seq FROM names WHERE parent_id = ANY($1) AND to_seq IS NOT NULL
           ), placed AS (
               SELECT id, seq, row_number() OVER (PARTITION BY id ORDER BY seq DESC) AS place FROM concerned
           )
           SELECT id AS "id!", seq AS "seq!" FROM placed WHERE place <= $3"#,
        &ids,
        &kinds,
        number(MAX_EVENTS as u64 + 1),
    )
    .fetch_all(conn)
    .await?;
    let mut found: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
    for row in rows {
        found.entry(row.id).or_default().push(unsigned("events", "seq", row.seq)?);
    }
    Ok(found)
}

fn is_sequence(table: &str, column: &str) -> bool {
    column == "seq" || column.ends_with("_seq") || (table, column) == ("checkpoint", "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clues(table: &str, row: &Value) -> Clues {
        let mut clues = Clues::default();
        clues.add(table, row.as_object().expect("tests write objects"));
        clues
    }

    #[test]
    fn sequences_of_the_row_come_before_those_of_its_ids() {
        let id = Uuid::from_u128(1);
        let row = serde_json::json!({"file_id": id, "created_seq": 1, "changed_seq": 99, "deleted_seq": null});
        let clues = clues("files", &row);
        let by_id = BTreeMap::from([(id, (2..12).collect())]);
        // 99 is after the last one: somebody wrote it by hand.
        assert_eq!(clues.events(&by_id, 50), (vec![1, 5, 6, 7, 8, 9, 10, 11], true));
        assert_eq!(clues.events(&BTreeMap::new(), 50), (vec![1], false));
    }

    #[test]
    fn the_checkpoint_and_other_columns() {
        let clues = clues("checkpoint", &serde_json::json!({"n": 7, "spaces_seq": 3, "event_id": "no uuid"}));
        assert_eq!(clues.events(&BTreeMap::new(), 7), (vec![3, 7], false));
        assert!(!is_sequence("blobs", "n") && is_sequence("replicas", "fence_seq"));
    }
}
