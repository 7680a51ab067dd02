//! What happened to a file.

use fold::rows::Outcome;
use proto::{EventId, FileId};

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::records::{number, unsigned, word};
use crate::{Error, token};

/// A page of events, in the order of the journal.
#[derive(Debug, Clone)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// What to ask the next page with; empty on the last one.
    pub next_page_token: String,
}

/// An event and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it is in the journal.
    pub seq: u64,
    /// Its id; none when its bytes cannot be decoded.
    pub event_id: Option<EventId>,
    /// Its CloudEvents type, or `undecodable`.
    pub kind: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it was not simply applied.
    pub reason: Option<String>,
    /// The event as published.
    pub raw: Vec<u8>,
}

impl Reader {
    /// A page of the events that concern a file: those that changed it, and those that copied the content of any of its
    /// versions. A page holds `limit` events, at most [`MAX_PAGE`]; an empty `page_token` asks for the first one.
    pub async fn events(&self, file_id: FileId, limit: u32, page_token: &str) -> Result<Events, Error> {
        let scope = ["events", &file_id.to_string()];
        let after = match token::open(&scope, page_token)? {
            None => 0,
            Some(position) => {
                position.parse().map_err(|_| Error::PageToken { problem: "holds no sequence".to_owned() })?
            }
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let mut events = self.events_after(file_id, after, limit + 1).await?;
        let mut next_page_token = String::new();
        if events.len() > limit as usize {
            events.truncate(limit as usize);
            next_page_token = events.last().map(|last| token::seal(&scope, &last.seq.to_string())).unwrap_or_default();
        }
        Ok(Events { events, next_page_token })
    }

    async fn events_after(&self, file_id: FileId, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, e.seq, e.event_id, e.kind, e.outcome, e.reason, e.raw
                   FROM (
                       SELECT seq FROM events WHERE file_id = $1 AND seq > $2
                     UNION
                       SELECT l.seq
                       FROM versions AS v JOIN event_blobs AS l ON l.blob_id = v.blob_id
                       WHERE v.file_id = $1 AND l.seq > $2
                     ORDER BY seq LIMIT $3
                   ) AS found
                   JOIN highwater.active AS a ON a.singleton
                   JOIN events AS e ON e.seq = found.seq
                   ORDER BY e.seq"#,
                file_id.uuid(),
                number(after),
                i64::from(limit),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let events: Result<Vec<Event>, Error> = rows
                .into_iter()
                .map(|row| {
                    Ok(Event {
                        seq: unsigned("events", "seq", row.seq)?,
                        event_id: row.event_id.map(EventId::new),
                        kind: row.kind,
                        outcome: word("events", "outcome", &row.outcome)?,
                        reason: row.reason,
                        raw: row.raw,
                    })
                })
                .collect();
            Ok(Answer { seen, value: events? })
        })
        .await
    }
}
