//! Waiting for the checkpoint.

use std::time::{Duration, Instant};

use catalog::Error;
use proto::{Incarnation, Sequence};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::short::status;
use crate::world::{Journal, PATIENCE, World, fold};

#[tokio::test]
async fn a_wait_ends_when_the_save_is_announced() {
    let mut journal = Journal::begun(1);
    let mut world = World::new().await.unwrap();
    // Only the announcement can be in time.
    world.config.poll_interval = Duration::from_hours(1);
    let (mut writer, reader) = world.build(&journal).await.unwrap();
    journal.upload("a", 1);
    let mut waits = JoinSet::new();
    for _ in 0..20 {
        let (reader, at) = (reader.clone(), journal.head());
        waits.spawn(async move { reader.wait_for(at, PATIENCE).await });
    }
    let mut checkpoints = reader.checkpoints();
    let started = Instant::now();
    fold(&mut writer, &journal, 10).await.unwrap();
    while let Some(waited) = waits.join_next().await {
        waited.unwrap().unwrap();
    }
    assert!(started.elapsed() < PATIENCE / 2);
    assert_eq!(checkpoints.next().await, Some(writer.checkpoint().await.unwrap()));
    assert_eq!(checkpoints.now(), Some(writer.checkpoint().await.unwrap()));
}

#[tokio::test]
async fn a_wait_that_is_not_met_says_how_far_the_catalog_is() {
    let journal = Journal::begun(1);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let wanted = Sequence { n: journal.n() + 1, ..journal.head() };
    let error = reader.wait_for(wanted, Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, Error::Behind { reached, .. } if reached == journal.n()), "{error:?}");
}

#[tokio::test]
async fn a_sequence_of_another_life_is_refused_at_once() {
    let journal = Journal::begun(1);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let other = Sequence { incarnation: Incarnation::new(Uuid::from_u128(7)), n: 1 };
    let error = reader.wait_for(other, PATIENCE * 100).await.unwrap_err();
    assert!(matches!(error, Error::OtherIncarnation { .. }), "{error:?}");
}

#[tokio::test]
async fn a_lost_listener_is_replaced() {
    let mut journal = Journal::begun(1);
    let (world, mut writer, reader) = World::with(&journal).await.unwrap();
    for round in 0..3 {
        let listeners = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                         WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        assert_eq!(world.sql(listeners).unwrap(), "1", "round {round}");
        journal.upload(&format!("file {round}"), 1);
        fold(&mut writer, &journal, 10).await.unwrap();
        reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn the_watch_ends_with_its_readers() {
    let journal = Journal::begun(1);
    let (world, _writer, reader) = World::with(&journal).await.unwrap();
    let other = reader.clone();
    drop(reader);
    assert_eq!(world.tasks.running().len(), 1);
    drop(other);
    let outcome = world.tasks.clone().join(tokio::time::sleep(PATIENCE)).await;
    assert!(outcome.is_clean(), "{outcome:?}");
}

#[tokio::test]
async fn a_closed_reader_is_unavailable_and_its_task_is_gone() {
    let journal = Journal::begun(1);
    let (world, _writer, reader) = World::with(&journal).await.unwrap();
    reader.close();
    assert!(world.tasks.clone().join(tokio::time::sleep(PATIENCE)).await.is_clean());
    let error = status(&reader).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}
