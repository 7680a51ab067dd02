use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;

fn fresh() -> (Shutdown, Tasks) {
    let shutdown = Shutdown::new();
    (shutdown.clone(), Tasks::new(shutdown))
}

fn death(task: &str, reason: &str) -> Death {
    Death { task: task.to_owned(), reason: reason.to_owned() }
}

#[tokio::test]
async fn an_error_is_a_death_that_asks_for_the_soft_shutdown() {
    let (shutdown, tasks) = fresh();
    tasks.spawn("test.fails", async { Err(anyhow::anyhow!("inner").context("outer")) });
    shutdown.soft_cancelled().await;
    assert!(!shutdown.is_hard());
    let outcome = tasks.join(std::future::pending()).await;
    assert_eq!(outcome, Outcome { died: vec![death("test.fails", "outer: inner")], unfinished: vec![] });
    assert!(!outcome.is_clean());
}

#[tokio::test]
async fn a_panic_is_a_death() {
    let (shutdown, tasks) = fresh();
    tasks.spawn("test.panics", async {
        assert_eq!(1 + 1, 3, "sums");
    });
    shutdown.soft_cancelled().await;
    let died = tasks.join(std::future::pending()).await.died;
    assert!(died[0].reason.starts_with("panicked: assertion `left == right` failed: sums"), "{}", died[0].reason);
}

#[tokio::test]
async fn a_task_that_was_asked_to_stop_did_not_die() {
    let (shutdown, tasks) = fresh();
    let asked = shutdown.clone();
    tasks.spawn("test.checks", async move {
        asked.soft_cancelled().await;
        asked.check()
    });
    tasks.spawn(format!("test.{}", "returns"), async {});
    assert!(!shutdown.is_soft());
    shutdown.trigger_soft();
    assert!(tasks.join(std::future::pending()).await.is_clean());
}

#[tokio::test]
async fn joining_names_what_did_not_end() {
    let (_, tasks) = fresh();
    let handle = tasks.spawn("test.aborted", std::future::pending::<()>());
    tasks.spawn("test.stubborn", std::future::pending::<()>());
    assert_eq!(tasks.running(), ["test.aborted", "test.stubborn"]);
    handle.abort();
    let outcome = tasks.join(sleep(Duration::from_millis(50))).await;
    assert_eq!(outcome, Outcome { died: vec![], unfinished: vec!["test.stubborn".to_owned()] });
}

#[tokio::test]
async fn steps_of_a_shutdown() {
    let shutdown = Shutdown::new();
    let child = shutdown.child();
    child.trigger_soft();
    assert!(child.is_soft() && child.check().is_err() && !shutdown.is_soft());
    shutdown.trigger_hard();
    assert!(shutdown.is_soft() && shutdown.is_hard() && child.is_hard());
    timeout(Duration::from_secs(1), child.hard_cancelled()).await.unwrap();
}
