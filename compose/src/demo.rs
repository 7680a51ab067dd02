//! The story of Highwater, told by running it as a user would.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::shutdown::Shutdown;

use crate::commands::{Installation, fail};
use crate::{Durability, Progress, Stack, State, data};

mod files;
mod story;
mod teller;

/// How long the stop at the end may take.
const GRACE: Duration = Duration::from_secs(90);

/// Lines of each log that a failed demo shows.
const TAIL_LINES: usize = 15;

/// What the demo is told.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    installation: Installation,
    /// Size of the large file in MB
    #[arg(long, default_value_t = 200, value_name = "MB")]
    large_mb: u64,
}

/// Runs the story on data and ports of its own. Exits 0 only when every step did what it should.
pub(crate) async fn run(options: Options) -> ExitCode {
    let code = runtime::program::supervise("compose", GRACE, async |process| {
        let told = tell(&options, &process.shutdown).await;
        Ok(match told {
            Ok(()) => 0_u8,
            Err(error) => {
                let _ = fail(&error.context("the demo failed"));
                1
            }
        }
        .into())
    });
    ExitCode::from(code.await)
}

async fn tell(options: &Options, shutdown: &Shutdown) -> anyhow::Result<()> {
    let progress = Progress::stdout();
    progress.say("Highwater demo: three S3 nodes, a journal, a catalog, and files that outlive a node and a database.");
    progress.say("");
    progress.say("== Starting everything on this machine, on free ports and in a temporary folder");
    progress.say("");
    let builder = Stack::builder()
        .nodes(options.installation.nodes)
        .install(options.installation.install)
        .durability(Durability::Full)
        .progress(Progress::to(|line| Progress::stdout().say(format!("  {line}"))));
    let stack = tokio::select! {
        prepared = builder.prepare() => prepared?,
        () = shutdown.soft_cancelled() => bail!("it was interrupted"),
    };
    let played = tokio::select! {
        played = play(&stack, options.large_mb) => played,
        () = shutdown.soft_cancelled() => Err(anyhow::anyhow!("it was interrupted")),
    };
    if played.is_err() && !shutdown.is_soft() {
        show_logs(&stack, &progress);
    }
    progress.say("");
    progress.say("== Stopping: gateway, replicators, projector, NATS, nodes, Postgres");
    progress.say("");
    let stopped = tokio::select! {
        stopped = stack.shutdown() => stopped.context("stop everything"),
        () = shutdown.hard_cancelled() => Err(anyhow::anyhow!("what had not stopped was ended by its guards")),
    };
    if let (Err(_), Err(error)) = (&played, &stopped) {
        progress.say(format!("  {error:#}"));
    }
    played.and(stopped)?;
    progress.say("  All stopped, and the temporary folder is deleted. That was Highwater.");
    Ok(())
}

async fn play(stack: &Stack, large_mb: u64) -> anyhow::Result<()> {
    stack.bring_up().await?;
    Progress::stdout().say(format!(
        "\n  The commands below have HIGHWATER_ADDR=http://{}, and the settings that `compose up` gives each service.",
        stack.gateway_addr()?
    ));
    let work = stack.data().join("demo");
    data::make_dir(&work, 0o700)?;
    story::tell(&teller::Teller::new(stack, &work), large_mb).await
}

/// What the programs said last, for whoever has to find out why.
fn show_logs(stack: &Stack, progress: &Progress) {
    for row in stack.ps() {
        if !matches!(row.state, State::Stopped) {
            progress.say(format!("-- the end of the log of {} ({}):", row.name, row.state));
            progress.say(stack.log_tail(&row.name, TAIL_LINES));
        }
    }
}
