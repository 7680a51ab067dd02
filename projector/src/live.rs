//! `projector run`: following the journal for ever.

use std::time::Duration;

use catalog::{Generations, Switch, Writer};
use journal::Journal;
use runtime::program::Process;
use runtime::retry::{Backoff, sleep};
use runtime::shutdown::Cancelled;
use runtime::{telemetry, wait_for};

use crate::adopt::adopt;
use crate::config::Config;
use crate::driver::Driver;
use crate::error::{Error, Halt};
use crate::identity;
use crate::scheduled;

/// While a generation does not answer reads yet, how long to wait for events at a time.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Folds until the soft shutdown. Servers that are gone are waited for; an `Err` is for a person.
pub(crate) async fn run(config: &Config, process: &Process) -> Result<(), Error> {
    let opened = Journal::open(&config.nats, &process.shutdown, &process.tasks).await;
    let journal = opened.map_err(|error| Error::Journal(error).halting())?;
    let mut backoff = Backoff::new(&config.projector.retry);
    loop {
        match follow(config, process, &journal, &mut backoff).await {
            Err(error) if error.passes() => {
                tracing::warn!("cannot go on folding, beginning again at the checkpoint: {error}");
            }
            Err(error) => {
                return match error.halting() {
                    Error::Cancelled(_) => Ok(()),
                    halt => Err(halt),
                };
            }
            Ok(()) => return Ok(()),
        }
        if !sleep(backoff.next_delay(), process.shutdown.soft_token()).await {
            return Ok(());
        }
    }
}

/// Takes the lock and folds from the checkpoint on, until the soft shutdown or an error.
async fn follow(config: &Config, process: &Process, journal: &Journal, backoff: &mut Backoff) -> Result<(), Error> {
    let soft = process.shutdown.soft_token();
    let incarnation = journal.identity().incarnation;
    // One that stands by for another has all it needs.
    let standing_by = || telemetry::ready("projector");
    let open = async || Writer::open(&config.database, incarnation, standing_by, soft).await;
    let opened = wait_for("the catalog", &config.projector.retry, soft, open).await;
    let mut writer = opened.map_err(|stopped| stopped.into_error(catalog::Error::Cancelled))?;
    let at = writer.checkpoint().await?;
    let at = adopt(journal, &mut writer, at, &config.projector, process).await?;
    identity::check(journal, &at).await?;
    let generation = writer.generation();
    tracing::info!(
        generation = generation.number(),
        seq = at.n,
        "folding into {generation} from event {} on",
        at.n + 1
    );
    telemetry::ready("projector");
    let mut driver = Driver::new(writer, at, journal, &config.projector);
    let leading = process.shutdown.child();
    let beside = Process { shutdown: leading.clone(), ..process.clone() };
    process.tasks.spawn("projector.verify", scheduled::run(config.clone(), beside));
    let ended = tokio::select! {
        biased;
        ended = go_on(config, process, journal, &mut driver, backoff) => ended,
        () = process.shutdown.hard_cancelled() => Err(Error::Cancelled(Cancelled)),
    };
    leading.trigger_soft();
    driver.into_writer().close().await;
    ended
}

async fn go_on(
    config: &Config,
    process: &Process,
    journal: &Journal,
    driver: &mut Driver,
    backoff: &mut Backoff,
) -> Result<(), Error> {
    let (idle, soft) = (config.projector.idle_interval, process.shutdown.soft_token());
    // Not active yet: no reader sees the generation before it has reached what the journal holds now.
    let mut goal = if driver.writer().is_active().await? { None } else { Some(journal.head().await?.n) };
    while !process.shutdown.is_soft() {
        if goal.is_some_and(|goal| driver.at().n >= goal) {
            activate(config, driver).await?;
            goal = None;
        }
        // A wait for events ends with the soft shutdown, a save under way does not. Until it answers reads, there is nothing
        // to wait for once it is level.
        let wait = if goal.is_some() { CATCH_UP.min(idle) } else { idle };
        let folded = driver.step(wait, soft).await?;
        if folded > 0 {
            let n = driver.at().n;
            backoff.reset();
            journal.observe_checkpoint(n, driver.last_message_id());
            tracing::debug!(seq = n, "folded {folded} events up to event {n}");
        } else if goal.is_none() {
            still_ours(journal, driver).await?;
        }
    }
    Ok(())
}

/// When nothing happens, nothing else would tell that another generation answers reads now, that another projector has
/// moved the checkpoint, or that the journal was replaced.
async fn still_ours(journal: &Journal, driver: &mut Driver) -> Result<(), Error> {
    if let Some(reason) = journal.is_diverged() {
        return Err(Error::Halt(Halt::Journal(journal::Error::Diverged(reason))));
    }
    let at = driver.at();
    let writer = driver.writer();
    if !writer.is_active().await? {
        return Err(fenced(writer, "another generation answers reads now".to_owned()));
    }
    let stored = writer.checkpoint().await?;
    if stored != at {
        let reason = format!("its checkpoint is {} and not {}", stored.sequence(), at.sequence());
        return Err(fenced(writer, reason));
    }
    Ok(())
}

/// Lets the first generation answer reads, unless a rebuild has come first.
async fn activate(config: &Config, driver: &mut Driver) -> Result<(), Error> {
    let generation = driver.writer().generation();
    let mut generations = Generations::open(&config.database).await?;
    let active = generations.active().await?;
    if active.is_some_and(|active| active != generation) {
        return Err(fenced(driver.writer(), "another generation answers reads now".to_owned()));
    }
    match generations.switch(generation, Switch::CaughtUp).await {
        Err(catalog::Error::Refused { reason }) => Err(fenced(driver.writer(), reason)),
        switched => Ok(switched?),
    }
}

fn fenced(writer: &Writer, reason: String) -> Error {
    let generation = writer.generation().schema();
    Error::Catalog(catalog::Error::Fenced { generation, reason, source: None })
}
