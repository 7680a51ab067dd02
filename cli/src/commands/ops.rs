//! `highwater ops`.

mod audit;
pub(super) mod explain;
mod parked;
mod placement;
mod recover;
mod redrive;
mod retire;
pub(super) mod status;

use std::time::Duration;

use super::{Context, DEFAULT_TIMEOUT};
use crate::args::OpsCommand;
use crate::exit::Failure;

/// Does one of them.
pub(super) async fn run(context: &Context, command: OpsCommand) -> Result<(), Failure> {
    let stop = &context.stop;
    match command {
        OpsCommand::Status(args) => stop.guard(status::run(context, args)).await,
        OpsCommand::Parked(args) => stop.guard(parked::run(context, args)).await,
        OpsCommand::Redrive(args) => stop.guard(redrive::run(context, args)).await,
        OpsCommand::Explain(args) => stop.guard(explain::run(context, args)).await,
        OpsCommand::Audit(args) => stop.guard(audit::run(context, args)).await,
        OpsCommand::Recover(args) => stop.guard(recover::run(context, args)).await,
        OpsCommand::Placement(args) => stop.guard(placement::run(context, args)).await,
        // It has something to say when it is stopped.
        OpsCommand::Retire(args) => retire::run(context, args).await,
    }
}

/// None for work that grows with what is stuck, or that has no end.
pub(super) fn default_timeout(command: &OpsCommand) -> Option<Duration> {
    match command {
        OpsCommand::Parked(_) | OpsCommand::Redrive(_) | OpsCommand::Audit(_) | OpsCommand::Recover(_) => None,
        OpsCommand::Status(args) if args.watch => None,
        OpsCommand::Retire(args) if args.wait => None,
        OpsCommand::Status(_) | OpsCommand::Explain(_) | OpsCommand::Retire(_) | OpsCommand::Placement(_) => {
            Some(DEFAULT_TIMEOUT)
        }
    }
}
