//! The events themselves, for whoever has lost the journal.

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::Error;
use crate::records::{number, unsigned};

impl Reader {
    /// The events after number `after`, in order, each as it was published with its number: at most `limit`, which is at
    /// most [`MAX_PAGE`]; none at the end.
    pub async fn raw_events(&self, after: u64, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                "SELECT a.catalog_id, a.generation, e.seq, e.raw
                 FROM highwater.active AS a CROSS JOIN events AS e
                 WHERE a.singleton AND e.seq > $1 ORDER BY e.seq LIMIT $2",
                number(after),
                i64::from(limit.clamp(1, MAX_PAGE)),
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let events = rows.into_iter().map(|row| Ok((unsigned("events", "seq", row.seq)?, row.raw)));
            Ok(Answer { seen, value: events.collect::<Result<_, Error>>()? })
        })
        .await
    }
}
