//! Rebalancing: after the placement or the nodes of the cluster have changed, every blob is looked at, and the copies that
//! are missing where they shall be are asked for; never so many that a node has more to catch up with than allowed.

use blobs::Node;
use proto::{BlobId, Layout};
use runtime::shutdown::Shutdown;
use tokio::time::Instant;
use tracing::info;

use super::{under_lease, waited};
use crate::config::Duties;
use crate::error::Result;
use crate::files::{Files, Room};

/// The name of the lease.
const REBALANCE: &str = "rebalance";

/// One look at all blobs.
#[derive(Debug, Default)]
struct Pass {
    /// What it goes by.
    layout: Layout,
    /// Where it goes on.
    after: Option<BlobId>,
    copies: u64,
    is_short: bool,
    /// When it came to its end.
    ended_at: Option<Instant>,
}

/// Looks after where blobs are, until the soft shutdown.
pub(crate) async fn rebalance(files: Files, config: Duties, holder: String, shutdown: Shutdown) {
    let mut pass = Pass::default();
    while waited(config.rebalance_pause, &shutdown).await {
        Box::pin(under_lease(&files, REBALANCE, &holder, &shutdown, go_on(&files, &config, &mut pass))).await;
    }
}

/// Begins a pass when one is due, and goes on with one that is under way.
async fn go_on(files: &Files, config: &Duties, pass: &mut Pass) -> Result<()> {
    let Some(opened) = files.opened() else { return Ok(()) };
    // Looked at here, too: by what it believes at its start, a gateway would ask for every blob on every node.
    let cluster = files.look_at_standings().await?;
    // Nothing was ever said of it: NodeJoined and every upload ask for all copies by themselves.
    if cluster.placement.seq == 0 {
        return Ok(());
    }
    let layout = opened.nodes.layout();
    if *layout != pass.layout {
        *pass = Pass { layout: (*layout).clone(), ..Pass::default() };
    } else if let Some(ended_at) = pass.ended_at {
        // Once more after a while: an upload that was under way at the change may have followed the layout before it.
        if ended_at.elapsed() < config.rebalance_interval {
            return Ok(());
        }
        *pass = Pass { layout: (*layout).clone(), ..Pass::default() };
    }
    let mut room = Room::new();
    for node in &layout.members {
        // A node that is away is left out, so that it does not hold up the others.
        if opened.nodes.get(node).is_some_and(|node: &Node| node.state().is_healthy()) {
            let pending = files.catalog().pending(node, config.rebalance_ahead).await?;
            room.insert(node.clone(), config.rebalance_ahead - pending);
        }
    }
    let asked = files.ask_for_missing(&pass.layout, pass.after, &mut room).await?;
    pass.copies += asked.copies;
    pass.is_short |= asked.is_short;
    pass.after = asked.up_to;
    if pass.after.is_none() {
        if pass.copies > 0 {
            info!("asked for {} copies that were missing where they shall be", pass.copies);
        }
        // What could not be asked for is looked for again at once.
        let ended_at = if pass.is_short { None } else { Some(Instant::now()) };
        *pass = Pass { layout: std::mem::take(&mut pass.layout), ended_at, ..Pass::default() };
    }
    Ok(())
}
