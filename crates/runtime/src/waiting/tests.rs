use std::cell::Cell;
use std::time::Duration;

use super::*;
use crate::lines::Lines;

#[derive(Debug, PartialEq, thiserror::Error)]
enum Error {
    #[error("{0}")]
    Missing(&'static str),
    #[error("unsafe")]
    Unsafe,
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

const POLICY: Policy = Policy::new(Duration::from_millis(1), Duration::from_millis(5));

#[tokio::test]
async fn says_what_it_waits_for_once_for_each_reason() {
    let lines = Lines::default();
    let format = tracing_subscriber::fmt().with_writer(lines.clone()).without_time().with_ansi(false);
    let guard = tracing::subscriber::set_default(format.with_target(false).finish());
    let calls = Cell::new(0);
    let outcome = wait_for("the stream HIGHWATER", &POLICY, &CancellationToken::new(), async || {
        calls.set(calls.get() + 1);
        match calls.get() {
            1..=5 => Err(Error::Missing("NATS does not answer")),
            6..=9 => Err(Error::Missing("there is no such stream")),
            _ => Ok("here"),
        }
    })
    .await;
    drop(guard);
    assert_eq!(outcome.unwrap(), "here");
    let text = lines.text();
    let text: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(text[0], "WARN waiting for the stream HIGHWATER: NATS does not answer");
    assert_eq!(text[1], "WARN waiting for the stream HIGHWATER: there is no such stream");
    assert!(text[2].starts_with("INFO the stream HIGHWATER: there after "), "{}", text[2]);
    assert_eq!(text.len(), 3);
}

#[tokio::test]
async fn ends_for_good_on_an_error_that_waiting_cannot_mend() {
    let outcome = wait_for("it", &POLICY, &CancellationToken::new(), async || Err::<(), _>(Error::Unsafe)).await;
    assert!(matches!(outcome, Err(Stopped::Failed(Error::Unsafe))));
}

#[tokio::test]
async fn a_shutdown_ends_the_wait_and_the_attempt() {
    let cancel = CancellationToken::new();
    let waiting = wait_for("it", &POLICY, &cancel, async || {
        std::future::pending::<()>().await;
        Ok::<(), Error>(())
    });
    let (outcome, ()) = tokio::join!(waiting, async { cancel.cancel() });
    let stopped = outcome.unwrap_err();
    assert!(matches!(stopped, Stopped::Cancelled(_)));
    assert!(crate::tasks::is_cancelled(&stopped.into()), "it counts as a clean end");
}
