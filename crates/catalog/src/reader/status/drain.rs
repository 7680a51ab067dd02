//! How fast backlogs shrink, by the events of lately.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::NodeId;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::Error;
use crate::records::{unsigned, word};

/// Of the events that report copies, so many bytes are read at most, some thousand copies: each is looked up, and a status is
/// asked for every few seconds. Far more than one event has.
const REPORTS_BYTES: i64 = 1024 * 1024;

/// How a node's backlog changed in a while, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Drain {
    /// What was behind when that began, and is there now.
    stored: u64,
    /// What was asked for since, or reported lost, and is not there.
    asked: u64,
}

/// How the backlog of each node changed lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Drains {
    /// Of each that has joined.
    pub(super) nodes: BTreeMap<NodeId, Drain>,
    /// In how long.
    pub(super) window: Duration,
}

/// How the backlog of each node changed in the `window` before `now`, or in a shorter one while very much is reported. The
/// same for all who ask about the same checkpoint and time: it is read from the rows of the events and of the pairs, and
/// nobody remembers anything.
pub(super) async fn drains(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    window: Duration,
) -> Result<Drains, Error> {
    let asked = time::Duration::try_from(window).unwrap_or(time::Duration::MAX);
    // The epoch is before every event.
    let since = now.checked_sub(asked).map_or(OffsetDateTime::UNIX_EPOCH, |at| at.max(OffsetDateTime::UNIX_EPOCH));
    let rows = sqlx::query_file!("src/reader/status/drain.sql", since, REPORTS_BYTES).fetch_all(connection).await?;
    let cut = rows.first().and_then(|row| row.since);
    // Clocks differ: what was reported a moment from now took a moment.
    let shorter = cut.map(|at| Duration::try_from(now - at).unwrap_or_default().max(Duration::from_millis(1)));
    let nodes: Result<_, Error> = rows
        .into_iter()
        .map(|row| {
            let (stored, asked) =
                (unsigned("blobs", "size_bytes", row.stored)?, unsigned("blobs", "size_bytes", row.asked)?);
            Ok((word("nodes", "node", &row.node)?, Drain { stored, asked }))
        })
        .collect();
    Ok(Drains { nodes: nodes?, window: shorter.unwrap_or(window).min(window) })
}

// === impl Drain ===

impl Drain {
    /// How long it takes until nothing of a backlog is left that changed like this in `window`: zero when nothing is, none
    /// while it does not shrink. What is asked for counts against what is stored: else a node that gets behind ever more
    /// would have an end.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn eta(self, behind: u64, window: Duration) -> Option<Duration> {
        if behind == 0 {
            return Some(Duration::ZERO);
        }
        let drained = self.stored.checked_sub(self.asked).filter(|drained| *drained > 0)?;
        Duration::try_from_secs_f64(window.as_secs_f64() * (behind as f64 / drained as f64)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn eta(stored: u64, asked: u64, behind: u64) -> Option<Duration> {
        Drain { stored, asked }.eta(behind, WINDOW)
    }

    #[test]
    fn a_backlog_that_shrinks_is_gone_when_it_goes_on_so() {
        assert_eq!(eta(1000, 0, 500), Some(Duration::from_secs(30)));
        assert_eq!(eta(1000, 800, 500), Some(Duration::from_secs(150)));
    }

    #[test]
    fn what_does_not_shrink_has_no_end() {
        assert_eq!(eta(0, 0, 500), None);
        assert_eq!(eta(1000, 1000, 500), None);
        assert_eq!(eta(1000, 2000, 500), None);
        assert_eq!(eta(1, 0, u64::MAX), None, "nor has what would take longer than can be said");
    }

    #[test]
    fn nothing_takes_no_time() {
        assert_eq!(eta(0, 0, 0), Some(Duration::ZERO));
        assert_eq!(eta(0, 1000, 0), Some(Duration::ZERO));
    }
}
