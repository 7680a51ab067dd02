//! Long work that somebody listens to.

use std::time::Duration;

use tokio::sync::mpsc;

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(1);

/// Works, and tells how far that is; `None` when nobody listens any more.
pub(super) async fn telling<T, M>(
    mut working: impl Future<Output = T> + Unpin,
    said: &mpsc::Sender<M>,
    progress: impl Fn() -> M,
) -> Option<T> {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            biased;
            outcome = &mut working => return Some(outcome),
            _ = ticks.tick() => {
                // Progress that nobody takes now is not worth waiting for.
                let _ = said.try_send(progress());
            }
            () = said.closed() => return None,
        }
    }
}
