//! What the commands do, one file each.

mod events;
mod get;
mod ls;
mod put;
mod stat;
mod status;

use std::time::Duration;

use proto::Path;
use runtime::retry::{self, Policy, Transient};

use crate::args::{Args, Command, Global};
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
    let timeout = args.global.timeout.or(match args.command {
        Command::Put(_) | Command::Get(_) | Command::Ls(_) => None,
        Command::Stat(_) | Command::Events(_) | Command::Status(_) => Some(DEFAULT_TIMEOUT),
    });
    let context = Context { global: args.global, output: *output, stop: Stop::default() };
    let work = async {
        match args.command {
            Command::Put(args) => put::run(&context, args).await,
            Command::Get(args) => get::run(&context, args).await,
            Command::Ls(args) => context.stop.guard(ls::run(&context, args)).await,
            Command::Stat(args) => stat::run(&context, args).await,
            Command::Events(args) => context.stop.guard(events::run(&context, args)).await,
            Command::Status(_) => context.stop.guard(status::run(&context)).await,
        }
    };
    tokio::select! {
        result = work => result,
        never = context.stop.watch(timeout) => match never {},
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

/// Checks a path here, so that a wrong one costs no round trip and is wrong usage.
fn parse_path(text: &str) -> Result<Path, Failure> {
    text.parse().map_err(|invalid: proto::Invalid| Failure::usage(format!("the path {text:?} {}", invalid.problem)))
}
