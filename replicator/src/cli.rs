//! What can be said on the command line.

use clap::Parser;
use proto::NodeId;
use runtime::config::{Fault, Faults, Options};
use runtime::program::Arguments;

use crate::config::{Config, LaneName};

/// Copies blobs to the S3 nodes that lack them. Start as many as you like: they share the work.
#[derive(Debug, Parser)]
#[command(name = "replicator", version)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    /// Copy only to these nodes; without it, to all configured ones
    #[arg(long, value_name = "NODE,..", value_delimiter = ',')]
    nodes: Vec<NodeId>,
    /// Work only in these lanes; without it, in all
    #[arg(long, value_name = "LANE,..", value_delimiter = ',', value_enum)]
    lanes: Vec<LaneName>,
    /// Copies to one node at once in the lane for small blobs
    #[arg(long, value_name = "N")]
    concurrency: Option<u16>,
    /// Copies to one node at once in the lane for large blobs
    #[arg(long, value_name = "N")]
    large_concurrency: Option<u16>,
}

impl Cli {
    /// Puts the flags over the configuration, which was valid without them.
    pub fn apply(self, mut config: Config) -> Result<Config, Faults> {
        let settings = &mut config.replicator;
        if !self.nodes.is_empty() {
            settings.serve = self.nodes;
        }
        if !self.lanes.is_empty() {
            settings.lanes = self.lanes;
        }
        settings.concurrency = self.concurrency.unwrap_or(settings.concurrency);
        settings.large_concurrency = self.large_concurrency.unwrap_or(settings.large_concurrency);
        let faults: Vec<Fault> = config.own_faults();
        if faults.is_empty() { Ok(config) } else { Err(Faults(faults)) }
    }
}

impl Arguments for Cli {
    fn options(&self) -> &Options {
        &self.options
    }
}
