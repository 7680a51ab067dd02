//! `highwater ops` and `highwater explain`.

use clap::{Args as ClapArgs, Subcommand};
use proto::{BlobId, NodeId};

use super::values::{Copies, NodeWeight};
use super::{After, Change, Status};

/// Run the system: see what is stuck and why, ask for it again, take nodes out
#[derive(Debug, ClapArgs)]
#[command(subcommand_required = true, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Ops {
    #[command(subcommand)]
    pub(crate) command: OpsCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum OpsCommand {
    Status(Status),
    Parked(OpsParked),
    Redrive(OpsRedrive),
    Explain(Explain),
    Audit(OpsAudit),
    Recover(OpsRecover),
    Retire(OpsRetire),
    Placement(OpsPlacement),
}

/// List the copies and erasures that nobody works on any more
///
/// Copies that failed for their own reason are parked; lost are those that were there and are not any more.
#[derive(Debug, ClapArgs)]
pub(crate) struct OpsParked {
    /// Only of this node
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<NodeId>,
    /// Entries to ask for at a time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) page_size: u32,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Ask again for copies and erasures that were given up or lost
#[derive(Debug, ClapArgs)]
pub(crate) struct OpsRedrive {
    /// Only of this node
    #[arg(long, value_name = "NODE", required_unless_present_any = ["blob", "all"])]
    pub(crate) node: Option<NodeId>,
    /// Only this blob
    #[arg(long, value_name = "BLOB")]
    pub(crate) blob: Option<BlobId>,
    /// All of them
    #[arg(long, conflicts_with_all = ["node", "blob"])]
    pub(crate) all: bool,
    /// Also what is merely pending, as if nobody had ever been asked
    #[arg(long)]
    pub(crate) pending: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Say why the content of a file is where it is
///
/// Shows the state on every node in a sentence, and the events that made it so, in order.
#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The file in Highwater, or the id of a blob
    #[arg(value_name = "PATH|BLOB")]
    pub(crate) what: String,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Take a node out of the cluster, once everything that it holds is elsewhere
///
/// It gets no new uploads from then on. Without --wait it ends with code 5 while something is only there. Afterwards the
/// node must be taken out of the configuration of every gateway and replicator.
#[derive(Debug, ClapArgs)]
pub(crate) struct OpsRetire {
    /// The node
    pub(crate) node: NodeId,
    /// Ask again until it is retired
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) change: Change,
}

/// Show or change on how many nodes files are, and on which rather than others
///
/// Without flags it shows what is so. Uploads follow a change at once; of what was there before, the copies that are
/// missing where they shall be are made, no faster than live ones allow, and no copy is taken away.
#[derive(Debug, ClapArgs)]
pub(crate) struct OpsPlacement {
    /// On how many nodes each file shall be
    #[arg(long, value_name = "N|all")]
    pub(crate) copies: Option<Copies>,
    /// The share of a node, relative to the others', and its zone (repeat for more); copies are in different zones, as far
    /// as there are so many
    #[arg(long = "node", value_name = "NODE=WEIGHT[@ZONE]")]
    pub(crate) nodes: Vec<NodeWeight>,
    #[command(flatten)]
    pub(crate) change: Change,
    #[command(flatten)]
    pub(crate) after: After,
}

/// Compare what the nodes hold with the catalog
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Ends with 0 when nothing differs, or all that differs is being repaired; with 1 when differences are
left; with 5 when a node could not be audited. Objects that are none of Highwater's, and copies that
the catalog does not know of yet, are shown and do not count. What may be all that is left of a file
whose event was lost is never erased: see `highwater ops recover`.")]
pub(crate) struct OpsAudit {
    /// Only this node (repeat for more)
    #[arg(long = "node", value_name = "NODE")]
    pub(crate) nodes: Vec<NodeId>,
    /// Read every object and compare its digest, instead of its length only
    #[arg(long)]
    pub(crate) deep: bool,
    /// Have copied again what is missing or wrong, and erased what should not be there
    #[arg(long)]
    pub(crate) repair: bool,
}

/// Show the objects that no event names, or make files of them
///
/// Without BLOB and --all it only shows what could be recovered. What an object was called is lost with its event, so its
/// file is recovered/BLOB in the space that it was uploaded to; no other file is changed for it.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Ends with 0 when all that was asked for is recovered, or was erased on purpose and is erased again;
with 1 when something is left, and why is said; with 5 when a node could not be asked. Objects whose
event may still come are left out.")]
pub(crate) struct OpsRecover {
    /// Make files of these blobs
    #[arg(value_name = "BLOB")]
    pub(crate) blobs: Vec<BlobId>,
    /// Make files of all that can be recovered
    #[arg(long, conflicts_with = "blobs")]
    pub(crate) all: bool,
    /// Look at this node only (repeat for more): where others are gone for good, or have other bytes that are wrong
    #[arg(long = "node", value_name = "NODE")]
    pub(crate) nodes: Vec<NodeId>,
}
