//! Saving what a batch of events changed: one transaction, one statement for each table.

mod blobs;
mod copy;
mod journal;
mod tree;

use fold::rows::Outcome;
use fold::{Changes, Key, View};
use proto::{EventId, Kind};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use self::copy::COPY_FROM;
use super::{Loader, Writer, fenced};
use crate::generation::Active;
use crate::records::number;
use crate::watch::announcement;
use crate::{Checkpoint, Error, Generation};

/// What a save did besides saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// Whether the generation answers reads; if so, the new checkpoint was announced.
    pub active: bool,
}

/// What the first statement of a save found; the transaction holds `highwater.active` from there on.
struct Held {
    active: bool,
}

impl Writer {
    /// Loads rows, as [`Loader::load`].
    pub async fn load(&mut self, keys: &[Key], view: &mut View) -> Result<(), Error> {
        self.loader.load(keys, view).await
    }

    /// Saves the changes together with the checkpoint that they lead to, in one transaction, or not at all.
    ///
    /// `from` is the checkpoint that the changes were folded from: when it is not the catalog's any more, or the generation
    /// was retired, this writer is fenced and nothing is saved. That, and statements that go by key and never go back in
    /// sequence, make a second run harmless. After any error the writer is of no use: open a new one.
    pub async fn save(&mut self, changes: &Changes, from: &Checkpoint, to: &Checkpoint) -> Result<Saved, Error> {
        self.save_beside(changes, from, to).1.await
    }

    /// As [`Self::save`], with the means to load while it goes on, into a view that has these changes.
    pub fn save_beside<'a>(
        &'a mut self,
        changes: &'a Changes,
        from: &'a Checkpoint,
        to: &'a Checkpoint,
    ) -> (&'a mut Loader, impl Future<Output = Result<Saved, Error>> + Send + 'a) {
        self.loader.note(changes);
        let Self { conn, generation, active, read_timeout, write_timeout, loader } = self;
        // A connection that died unnoticed shall be noticed soon, and most saves are short.
        let limit = if changes.bulk.is_empty() { *read_timeout } else { *write_timeout };
        let saving = async move {
            let saving = save_all(conn, (*active, *generation), changes, from, to);
            let saved = tokio::time::timeout(limit, saving).await;
            saved
                .unwrap_or_else(|_| Err(Error::unavailable("a save took too long")))
                .map_err(|e| fenced(*generation, e))
        };
        (loader, saving)
    }
}

async fn save_all(
    conn: &mut PgConnection,
    (active, generation): (Active, Generation),
    changes: &Changes,
    from: &Checkpoint,
    to: &Checkpoint,
) -> Result<Saved, Error> {
    let mut tx = conn.begin().await?;
    let payload = announcement(active, generation, to);
    let held = advance(&mut tx, generation, from, to, (spaces_seq(changes), &payload)).await?;
    let Some(held) = held else {
        let reason = why_fenced(&mut tx, generation, from).await?;
        return Err(Error::Fenced { generation: generation.schema(), reason, source: None });
    };
    if !held.active {
        // What a crash of Postgres takes back is folded again; and the switch is on the disk only with all before it.
        sqlx::query!("SELECT set_config('synchronous_commit', 'off', true)").fetch_one(&mut *tx).await?;
    }
    save_rows(&mut tx, changes, from.n).await?;
    for bulk in &changes.bulk {
        blobs::save_bulk(&mut tx, bulk).await?;
    }
    tx.commit().await?;
    Ok(Saved { active: held.active })
}

/// The last of these changes that made, renamed or deleted a space; 0 when none did. It comes from the events and not
/// from the checkpoint, so that it is the same whatever the batches.
fn spaces_seq(changes: &Changes) -> u64 {
    let made_or_deleted = changes.spaces.iter().map(|row| row.deleted_seq.unwrap_or(row.created_seq));
    let renamed = changes
        .events
        .iter()
        .filter(|row| row.outcome == Outcome::Applied && row.kind == Kind::SpaceRenamed.cloud_event_type());
    made_or_deleted.chain(renamed.map(|row| row.seq)).max().unwrap_or(0)
}

/// Takes `highwater.active` FOR SHARE, so that no switch happens until the commit, and moves the checkpoint. None when that
/// is not this writer's to do.
async fn advance(
    conn: &mut PgConnection,
    generation: Generation,
    from: &Checkpoint,
    to: &Checkpoint,
    (spaces_seq, payload): (u64, &str),
) -> Result<Option<Held>, sqlx::Error> {
    // When the lock had to wait for a switch, `held` is the row after it, while `g` is still the row before: hence the
    // two conditions.
    let row = sqlx::query!(
        r#"WITH held AS (SELECT generation FROM highwater.active WHERE singleton FOR SHARE)
           UPDATE checkpoint AS c
           SET incarnation = $1, n = $2, event_id = $3, chain = $4, spaces_seq = greatest(c.spaces_seq, $11)
           FROM held, highwater.generations AS g
           WHERE c.singleton AND g.number = $5 AND (g.number = held.generation OR g.state = 'building')
               AND c.incarnation = $6 AND c.n = $7 AND c.event_id IS NOT DISTINCT FROM $8 AND c.chain = $9
           RETURNING coalesce(held.generation = g.number, false) AS "active!",
               CASE WHEN held.generation = g.number
                   THEN pg_notify('highwater_checkpoint', $10::text || ' ' || c.spaces_seq)::text END AS announced"#,
        to.incarnation.uuid(),
        number(to.n),
        to.event_id.map(EventId::uuid) as Option<Uuid>,
        to.chain.as_bytes().as_slice(),
        generation.column(),
        from.incarnation.uuid(),
        number(from.n),
        from.event_id.map(EventId::uuid) as Option<Uuid>,
        from.chain.as_bytes().as_slice(),
        payload,
        number(spaces_seq),
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Held { active: row.active }))
}

async fn why_fenced(conn: &mut PgConnection, generation: Generation, from: &Checkpoint) -> Result<String, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT c.n, c.incarnation, (SELECT state FROM highwater.generations WHERE number = $1) AS state
           FROM checkpoint AS c"#,
        generation.column()
    )
    .fetch_one(conn)
    .await?;
    Ok(match row.state.as_deref() {
        Some("retired") => "another generation answers reads now".to_owned(),
        None => "the generation was dropped".to_owned(),
        Some(_) => format!(
            "its checkpoint is {}-{} and not {}: another projector moved it",
            row.incarnation.simple(),
            row.n,
            from.sequence()
        ),
    })
}

/// Rows that came to be by an event after `since` are not in the catalog yet.
async fn save_rows(conn: &mut PgConnection, changes: &Changes, since: u64) -> Result<(), sqlx::Error> {
    // Empty tables cost no round trip. There are no foreign keys, so the order is no matter but for names: one must be
    // closed before it is opened again.
    if !changes.spaces.is_empty() {
        tree::save_spaces(conn, &changes.spaces).await?;
    }
    if !changes.folders.is_empty() {
        tree::save_folders(conn, &changes.folders, since).await?;
    }
    if !changes.closed_names.is_empty() {
        tree::save_names(conn, &changes.closed_names, since).await?;
    }
    if !changes.names.is_empty() {
        tree::save_names(conn, &changes.names, since).await?;
    }
    if !changes.files.is_empty() {
        tree::save_files(conn, &changes.files, since).await?;
    }
    if !changes.versions.is_empty() {
        blobs::save_versions(conn, &changes.versions, since).await?;
    }
    if !changes.blobs.is_empty() {
        blobs::save_blobs(conn, &changes.blobs, since).await?;
    }
    if !changes.nodes.is_empty() {
        blobs::save_nodes(conn, &changes.nodes).await?;
    }
    if let Some(placement) = &changes.placement {
        blobs::save_placement(conn, placement).await?;
    }
    if !changes.replicas.is_empty() {
        blobs::save_replicas(conn, &changes.replicas, &changes.blobs, since).await?;
    }
    if !changes.receipts.is_empty() {
        journal::save_receipts(conn, &changes.receipts).await?;
    }
    if !changes.events.is_empty() {
        journal::save_events(conn, &changes.events).await?;
        journal::save_event_blobs(conn, &changes.events).await?;
    }
    Ok(())
}

/// Rows that are not in the catalog, if they are so many that copying them pays, and all others.
struct Split<'a, R> {
    new: Vec<&'a R>,
    rows: Vec<&'a R>,
}

impl<'a, R> Split<'a, R> {
    fn of(rows: &'a [R], is_new: impl Fn(&R) -> bool) -> Self {
        let (new, known): (Vec<&R>, Vec<&R>) = rows.iter().partition(|row| is_new(row));
        if new.len() >= COPY_FROM {
            Self { new, rows: known }
        } else {
            Self { new: Vec::new(), rows: rows.iter().collect() }
        }
    }
}

/// One column of many rows, as the array that UNNEST takes.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
