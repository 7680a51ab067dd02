//! What the commands do, one file each.

mod again;
mod change;
mod cp;
mod du;
mod events;
mod get;
mod ls;
mod mkdir;
mod mv;
mod ops;
mod paths;
mod put;
mod receipt;
mod restore;
mod rm;
mod space;
mod stat;
mod trash;
mod undo;
mod versions;
mod wait;
mod watch;

use std::time::Duration;

use runtime::retry::{self, Policy, Transient};

use crate::args::{Args, Command, Global, SpaceCommand};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::Output;
use crate::stop::Stop;

/// The limit of commands whose work does not grow with the content.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// How long reads wait for a catalog that has not reached their --min-sequence, in steps that the gateway bounds.
const BEHIND_FOR: Duration = Duration::from_mins(1);
const BEHIND_DELAY: Duration = Duration::from_millis(50);
const BEHIND_DELAY_MAX: Duration = Duration::from_secs(1);

/// A failure that passes when the catalog catches up, and only then.
struct Behind(Failure);

/// What every command needs.
struct Context {
    global: Global,
    output: Output,
    stop: Stop,
}

/// Does what the command line says, until done or told to stop.
pub(crate) async fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let timeout = args.global.timeout.or(default_timeout(&args.command));
    let context = Context { global: args.global, output: *output, stop: Stop::default() };
    let work = dispatch(&context, args.command);
    tokio::select! {
        result = work => result,
        never = context.stop.watch(timeout) => match never {},
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<(), Failure> {
    let stop = &context.stop;
    match command {
        // These clean up, or have something to say, when they are stopped.
        Command::Put(args) => put::run(context, args).await,
        Command::Get(args) => get::run(context, args).await,
        Command::Stat(args) => stat::run(context, args).await,
        Command::Wait(args) => wait::run(context, args).await,
        Command::Ls(args) => stop.guard(ls::run(context, args)).await,
        Command::Du(args) => stop.guard(du::run(context, args)).await,
        Command::Mkdir(args) => stop.guard(mkdir::run(context, args)).await,
        Command::Rm(args) => stop.guard(rm::run(context, args)).await,
        Command::Mv(args) => stop.guard(mv::run(context, args)).await,
        Command::Cp(args) => stop.guard(cp::run(context, args)).await,
        Command::Versions(args) => stop.guard(versions::run(context, args)).await,
        Command::Restore(args) => stop.guard(restore::run(context, args)).await,
        Command::Trash(args) => stop.guard(trash::run(context, args.command)).await,
        Command::Undo(args) => stop.guard(undo::run(context, args)).await,
        Command::Events(args) => stop.guard(events::run(context, args)).await,
        Command::Receipt(args) => stop.guard(receipt::run(context, args)).await,
        Command::Watch(args) => stop.guard(watch::run(context, args)).await,
        Command::Space(args) => stop.guard(space::run(context, args.command)).await,
        Command::Status(args) => stop.guard(ops::status::run(context, args)).await,
        Command::Explain(args) => stop.guard(ops::explain::run(context, args)).await,
        Command::Ops(args) => ops::run(context, args.command).await,
    }
}

/// None for work that grows with the content, or that has no end.
fn default_timeout(command: &Command) -> Option<Duration> {
    match command {
        Command::Put(_) | Command::Get(_) | Command::Ls(_) | Command::Watch(_) | Command::Undo(_) => None,
        Command::Space(args) if matches!(args.command, SpaceCommand::Prune(_)) => None,
        Command::Status(args) if args.watch => None,
        Command::Ops(args) => ops::default_timeout(&args.command),
        Command::Du(_)
        | Command::Mkdir(_)
        | Command::Rm(_)
        | Command::Mv(_)
        | Command::Cp(_)
        | Command::Versions(_)
        | Command::Restore(_)
        | Command::Trash(_)
        | Command::Stat(_)
        | Command::Wait(_)
        | Command::Events(_)
        | Command::Receipt(_)
        | Command::Space(_)
        | Command::Explain(_)
        | Command::Status(_) => Some(DEFAULT_TIMEOUT),
    }
}

// === impl Context ===

impl Context {
    async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.global.addr).await
    }

    /// Asks again while the catalog has not reached the request's `min_sequence`; the gateway waits only briefly itself.
    async fn caught_up<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let policy = Policy::new(BEHIND_DELAY, BEHIND_DELAY_MAX).with_max_elapsed(BEHIND_FOR);
        let ask = || {
            let answer = ask();
            async { answer.await.map_err(Behind) }
        };
        retry::run(&policy, self.stop.token(), ask).await.map_err(|Behind(failure)| failure)
    }

    fn space(&self) -> String {
        self.global.space.to_string()
    }
}

// === impl Behind ===

impl Transient for Behind {
    fn is_transient(&self) -> bool {
        self.0.reason == "catalog_behind"
    }
}
