//! Comparing a generation that was folded again with the live one, at one and the same event.

use catalog::{Checkpoint, Difference, Snapshot, TableCount};
use proto::Sha256Digest;

use crate::builds::Builds;
use crate::driver::Driver;
use crate::error::Error;
use crate::identity;
use crate::progress::Progress;

/// What the comparison found.
#[derive(Debug, Clone)]
pub(crate) struct Compared {
    /// Where both were.
    pub(crate) at: Checkpoint,
    /// Every table.
    pub(crate) tables: Vec<TableCount>,
    /// The digest of all rows of the live catalog.
    pub(crate) digest_live: Sha256Digest,
    /// The digest of all rows folded again.
    pub(crate) digest_rebuilt: Sha256Digest,
    /// The first differences; left is live, right rebuilt.
    pub(crate) differences: Vec<Difference>,
}

impl Compared {
    pub(crate) fn is_equal(&self) -> bool {
        self.digest_live == self.digest_rebuilt && self.differing() == 0
    }

    /// Whether it is equal, or all that differs is in these tables.
    pub(crate) fn is_accepted(&self, tables: &[String]) -> bool {
        self.is_equal() || (self.differing() > 0 && self.unaccepted(tables).next().is_none())
    }

    /// The tables that differ and are not among these.
    pub(crate) fn unaccepted<'a>(&'a self, tables: &'a [String]) -> impl Iterator<Item = &'a str> {
        self.differing_tables().filter(|table| !tables.iter().any(|accepted| accepted == table))
    }

    pub(crate) fn differing_tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().filter(|table| table.differing > 0).map(|table| table.table.as_str())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    pub(crate) fn differing(&self) -> u64 {
        self.tables.iter().map(|table| table.differing).sum()
    }
}

/// Folds `driver`'s generation up to where the live one is, and compares every row of both there.
///
/// Nobody is held up: the live one is read in a snapshot, and goes on meanwhile.
pub(crate) async fn with_live(
    builds: &mut Builds<'_>,
    driver: &mut Driver,
    progress: &mut Progress,
) -> Result<Compared, Error> {
    let Some(live) = builds.generations.active().await? else {
        let message =
            "there is no catalog yet that could be compared: start the projector, or `projector rebuild --switch`";
        return Err(Error::Refused { reason: "no_catalog", message: message.to_owned() });
    };
    // Most of the way first: a snapshot makes Postgres keep old rows for as long as it is open.
    let first = Snapshot::open(&builds.config.database, live).await?;
    let at = first.checkpoint();
    first.close().await;
    identity::check(&builds.journal, &at).await?;
    builds.fold_to(driver, at.n, progress).await?;
    let mut live = Snapshot::open(&builds.config.database, live).await?;
    builds.fold_to(driver, live.checkpoint().n, progress).await?;
    progress.end();
    let mut rebuilt = Snapshot::open(&builds.config.database, driver.writer().generation()).await?;
    tracing::info!(
        seq = live.checkpoint().n,
        "comparing {} with {} at event {}",
        live.generation(),
        rebuilt.generation(),
        live.checkpoint().n
    );
    let compared = compare(builds, &mut live, &mut rebuilt).await;
    live.close().await;
    rebuilt.close().await;
    compared
}

async fn compare(builds: &Builds<'_>, live: &mut Snapshot, rebuilt: &mut Snapshot) -> Result<Compared, Error> {
    let soft = builds.process.shutdown.soft_token();
    let max = builds.config.projector.max_differences;
    let work = async {
        if live.checkpoint() != rebuilt.checkpoint() {
            return other_history(live, rebuilt).await;
        }
        let comparison = catalog::compare(live, rebuilt, max).await?;
        let (digest_live, digest_rebuilt) = tokio::try_join!(live.digest(), rebuilt.digest())?;
        Ok(Compared {
            at: comparison.checkpoint,
            tables: comparison.tables,
            digest_live: digest_live.sha256,
            digest_rebuilt: digest_rebuilt.sha256,
            differences: comparison.differences,
        })
    };
    tokio::select! {
        biased;
        () = soft.cancelled() => Err(Error::Cancelled(runtime::shutdown::Cancelled)),
        compared = work => compared,
    }
}

/// Both are at the same event, but the live catalog's checkpoint says that other events led there: its rows need no
/// comparing to know that they are not what this journal says.
async fn other_history(live: &mut Snapshot, rebuilt: &mut Snapshot) -> Result<Compared, Error> {
    let (digest_live, digest_rebuilt) = tokio::try_join!(live.digest(), rebuilt.digest())?;
    let table = "checkpoint".to_owned();
    let side = |at: Checkpoint| {
        let event_id = at.event_id.map(|id| id.to_string());
        serde_json::json!({"event_id": event_id, "chain": at.chain.to_string()}).to_string()
    };
    let difference = Difference {
        table: table.clone(),
        key: live.checkpoint().sequence().to_string(),
        left: Some(side(live.checkpoint())),
        right: Some(side(rebuilt.checkpoint())),
        events: vec![live.checkpoint().n],
        more_events: true,
    };
    Ok(Compared {
        at: live.checkpoint(),
        tables: vec![TableCount { table, rows: 1, differing: 1 }],
        digest_live: digest_live.sha256,
        digest_rebuilt: digest_rebuilt.sha256,
        differences: vec![difference],
    })
}
