//! What happened in a space, and when.

use fold::rows::Outcome;
use proto::{EventId, FileId, Path, SpaceId, VersionId};
use time::OffsetDateTime;

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::Error;
use crate::records::{number, path, unsigned, word};

/// An event of a space and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Where it is in the journal.
    pub seq: u64,
    /// Its id.
    pub event_id: Option<EventId>,
    /// Its CloudEvents type.
    pub kind: String,
    /// The path where it took effect or, when rejected, where it was meant to; where to, for moves and copies.
    pub path: Option<Path>,
    /// Where a move or a copy started from.
    pub from_path: Option<Path>,
    /// The file it concerns; none for changes of folders.
    pub file_id: Option<FileId>,
    /// The version it made.
    pub version_id: Option<VersionId>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was not simply applied.
    pub reason: Option<String>,
    /// The event as published.
    pub raw: Vec<u8>,
}

impl Reader {
    /// The events of a space after a sequence, in the order of the journal, at most `limit` and [`MAX_PAGE`]; and up to
    /// where the catalog was folded then: with fewer than `limit` events, all up to there were seen.
    pub async fn changes(&self, space_id: SpaceId, after: u64, limit: u32) -> Result<(Vec<ChangeRow>, u64), Error> {
        let most = limit.clamp(1, MAX_PAGE);
        let (changes, checkpoint) = self.changes_after(space_id, after, most).await?;
        // Who asked for more than a page holds must not take a full one for the end.
        let cut = limit > most && changes.len() == most as usize;
        let seen_to = changes.last().filter(|_| cut).map_or(checkpoint, |last| last.seq);
        Ok((changes, seen_to))
    }

    async fn changes_after(&self, space_id: SpaceId, after: u64, limit: u32) -> Result<(Vec<ChangeRow>, u64), Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, c.n,
                       e.seq AS "seq?", e.event_id AS "event_id?", e.kind AS "kind?", e.path AS "path?",
                       e.from_path AS "from_path?", e.file_id AS "file_id?", e.outcome AS "outcome?",
                       e.reason AS "reason?", e.raw AS "raw?", r.version_id AS "version_id?"
                   FROM highwater.active AS a
                   CROSS JOIN checkpoint AS c
                   LEFT JOIN LATERAL (
                       SELECT seq, event_id, kind, path, from_path, file_id, outcome, reason, raw
                       FROM events WHERE space_id = $1 AND seq > $2
                       ORDER BY seq LIMIT $3
                   ) AS e ON true
                   LEFT JOIN receipts AS r ON r.event_id = e.event_id AND r.seq = e.seq
                   WHERE a.singleton AND c.singleton
                   ORDER BY e.seq"#,
                space_id.uuid(),
                number(after),
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let Some(first) = rows.first() else { return Ok(Answer { seen: None, value: (Vec::new(), 0) }) };
            let (seen, checkpoint) = (seen!(first), unsigned("checkpoint", "n", first.n)?);
            let mut changes = Vec::with_capacity(rows.len());
            for row in rows {
                let (Some(seq), Some(kind), Some(outcome), Some(raw)) = (row.seq, row.kind, row.outcome, row.raw)
                else {
                    continue;
                };
                changes.push(ChangeRow {
                    seq: unsigned("events", "seq", seq)?,
                    event_id: row.event_id.map(EventId::new),
                    kind,
                    path: row.path.map(|text| path("events", "path", &text)).transpose()?,
                    from_path: row.from_path.map(|text| path("events", "from_path", &text)).transpose()?,
                    file_id: row.file_id.map(FileId::new),
                    version_id: row.version_id.map(VersionId::new),
                    outcome: word("events", "outcome", &outcome)?,
                    reason: row.reason,
                    raw,
                });
            }
            Ok(Answer { seen: Some(seen), value: (changes, checkpoint) })
        })
        .await
    }

    /// The last event that is not later than `time`; 0 when all are later.
    ///
    /// Found by bisection over the events' own times. These are by the clocks of whoever published them, so they are only
    /// nearly sorted: around clocks that differ, an event next to it may be meant.
    pub async fn sequence_at(&self, time: OffsetDateTime) -> Result<u64, Error> {
        // Up to `low` nothing is later, after `high` everything is.
        let (mut low, mut high) = (0, self.folded_to().await?);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.timed_event(low, middle).await? {
                Some((seq, at)) if at > time => high = seq.saturating_sub(1),
                // What cannot be decoded has no time, and counts as the event before it.
                Some(_) | None => low = middle,
            }
        }
        Ok(low)
    }

    async fn folded_to(&self) -> Result<u64, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, c.n FROM highwater.active AS a CROSS JOIN checkpoint AS c
                 WHERE a.singleton AND c.singleton"
            )
            .fetch_one(&pool)
            .await?;
            Ok(Answer { seen: Some(seen!(row)), value: unsigned("checkpoint", "n", row.n)? })
        })
        .await
    }

    /// The last event in (`after`, `up_to`] that can be decoded, with its time.
    async fn timed_event(&self, after: u64, up_to: u64) -> Result<Option<(u64, OffsetDateTime)>, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                "SELECT a.catalog_id, a.generation, e.seq, e.raw
                 FROM highwater.active AS a CROSS JOIN events AS e
                 WHERE a.singleton AND e.seq > $1 AND e.seq <= $2 AND e.event_id IS NOT NULL
                 ORDER BY e.seq DESC LIMIT 1",
                number(after),
                number(up_to),
            )
            .fetch_optional(&pool)
            .await?;
            let Some(row) = row else { return Ok(Answer { seen: None, value: None }) };
            let event = decode(&row.raw)?;
            let value = Some((unsigned("events", "seq", row.seq)?, event.time));
            Ok(Answer { seen: Some(seen!(row)), value })
        })
        .await
    }
}

/// An event as it was published. The fold has decoded it, so this program can.
pub(super) fn decode(raw: &[u8]) -> Result<proto::Event, Error> {
    proto::Event::decode(raw).map_err(|e| Error::inconsistent("events", "raw", e.to_string()))
}
