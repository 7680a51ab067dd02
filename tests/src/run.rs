//! Running one test on a cluster of its own.

use std::panic::{AssertUnwindSafe, resume_unwind};

use compose::{Builder, NodeKind, Stack};
use futures::FutureExt as _;
use runtime::config::Environment;

use crate::Cluster;

/// Lines of each log that a failed test shows.
const TAIL_LINES: usize = 25;

/// The kind of nodes that the tests run on: `NODES`, else the embedded one, so that a run does not depend on what happens
/// to be installed.
pub fn node_kind() -> NodeKind {
    match NodeKind::from_environment(&Environment::process()).unwrap() {
        NodeKind::Auto => NodeKind::Embedded,
        kind => kind,
    }
}

/// What most tests want; those that are about these bounds set them.
///
/// A change is answered only when it is decided, and a read when it shows what it waits for, also on a loaded machine: tests
/// go on from there. And each connection to Postgres has a process of its own and a password to prove, with 16 of them more
/// work than all the rest of a gateway's start.
fn patient_and_modest(mut builder: Builder) -> Builder {
    builder = builder.env("gateway", "HIGHWATER_DATABASE__MAX_CONNECTIONS", "4");
    for wait in ["PROJECTION_WAIT", "OUTCOME_WAIT", "MIN_SEQUENCE_WAIT"] {
        builder = builder.env("gateway", &format!("HIGHWATER_LIMITS__{wait}"), "1m");
    }
    builder
}

/// Starts a cluster that has what `setup` asks for, lets `test` happen, and stops and removes the cluster, also when the
/// test fails.
pub fn run(setup: impl FnOnce(Builder) -> Builder, test: impl AsyncFnOnce(&Cluster) -> anyhow::Result<()>) {
    run_as_shipped(|builder| setup(patient_and_modest(builder)), test);
}

/// As [`run`], with nothing set but by `setup`: what people start.
pub fn run_as_shipped(setup: impl FnOnce(Builder) -> Builder, test: impl AsyncFnOnce(&Cluster) -> anyhow::Result<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = setup(Stack::builder().nodes(node_kind()));
        let stack = builder.start().await.unwrap_or_else(|error| panic!("the cluster does not start: {error:#}"));
        let cluster = Cluster::new(stack).unwrap();
        let outcome = AssertUnwindSafe(test(&cluster)).catch_unwind().await;
        let failed = !matches!(outcome, Ok(Ok(())));
        if failed {
            for row in cluster.stack.ps() {
                eprintln!("--- {} ({:?})\n{}", row.name, row.state, cluster.stack.log_tail(&row.name, TAIL_LINES));
            }
        }
        let stopped = cluster.stack.shutdown().await;
        match outcome {
            Err(panic) => resume_unwind(panic),
            Ok(Err(error)) => panic!("{error:#}"),
            Ok(Ok(())) => stopped.unwrap_or_else(|error| panic!("the cluster does not stop: {error:#}")),
        }
    });
}
