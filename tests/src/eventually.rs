//! Waiting for a state.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long enough for a loaded machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_mins(3);
/// Between two questions: a tenth of the time that was waited already, within these bounds. Many a question makes a connection
/// and has the catalog read, and with one every 20 ms those who waited kept a processor from those who worked.
const ASK_SOONEST: Duration = Duration::from_millis(20);
const ASK_LATEST: Duration = Duration::from_millis(200);

/// Asks until the answer is `Ok`; panics with the last `Err` when that takes too long.
pub async fn eventually<T, E: Display>(what: &str, ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    eventually_within(PATIENCE, what, ask).await
}

/// As [`eventually`], with another patience.
pub async fn eventually_within<T, E: Display>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) if started.elapsed() > patience => panic!("{what}: not after {patience:?}: {error:#}"),
            Err(_) => sleep((started.elapsed() / 10).clamp(ASK_SOONEST, ASK_LATEST)).await,
        }
    }
}
