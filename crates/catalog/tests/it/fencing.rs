//! One writer at a time.

use std::time::Duration;

use catalog::{Error, Switch, Writer};
use fold::View;
use runtime::retry::Transient as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::{Journal, World, fold, fold_batch};

#[tokio::test]
async fn a_checkpoint_that_moved_fences() {
    let mut journal = Journal::begun(1);
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    let stale = writer.checkpoint().await.unwrap();
    journal.upload("a", 1);
    fold(&mut writer, &journal, 10).await.unwrap();
    let saved = writer.checkpoint().await.unwrap();

    // The same batch a second time, and a batch from a checkpoint that was never there.
    let error = fold_batch(&mut writer, stale, &journal.events[usize::try_from(stale.n).unwrap()..]).await.unwrap_err();
    let error = error.downcast::<Error>().unwrap();
    assert!(matches!(&error, Error::Fenced { reason, .. } if reason.contains("another projector")), "{error:?}");
    assert!(!error.is_transient());

    writer.close().await;
    let mut writer = world.writer(&journal).await.unwrap();
    assert_eq!(writer.checkpoint().await.unwrap(), saved);
    assert!(writer.is_active().await.unwrap());
}

#[tokio::test]
async fn a_second_projector_waits_for_the_first() {
    let journal = Journal::begun(1);
    let (world, writer, _reader) = World::with(&journal).await.unwrap();
    let mut second = JoinSet::new();
    let (config, incarnation) = (world.config.clone(), journal.incarnation);
    second.spawn(async move { Writer::open(&config, incarnation, || {}, &CancellationToken::new()).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), second.join_next()).await.is_err());

    let refused = Writer::open_generation(&world.config, writer.generation()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");

    writer.close().await;
    let mut second = second.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(second.checkpoint().await.unwrap().sequence(), journal.head());
}

#[tokio::test]
async fn waiting_for_the_lock_ends_with_the_shutdown() {
    let journal = Journal::begun(1);
    let (world, _writer, _reader) = World::with(&journal).await.unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = Writer::open(&world.config, journal.incarnation, || {}, &cancel).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled(_)), "{error:?}");
}

#[tokio::test]
async fn a_writer_that_lost_its_connection_has_lost_its_lock() {
    let mut journal = Journal::begun(1);
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    let holder = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid \
                  FROM pg_database WHERE datname = current_database())";
    assert_eq!(world.sql(holder).unwrap(), "t");
    let mut second = world.writer(&journal).await.unwrap();

    journal.upload("a", 1);
    let error = fold(&mut writer, &journal, 10).await.unwrap_err().downcast::<Error>().unwrap();
    assert!(matches!(error, Error::Fenced { source: Some(_), .. }), "{error:?}");
    fold(&mut second, &journal, 10).await.unwrap();
}

#[tokio::test]
async fn a_retired_generation_is_never_written_again() {
    let mut journal = Journal::begun(1);
    let (world, mut old, _reader) = World::with(&journal).await.unwrap();
    let mut generations = world.generations().await.unwrap();
    let mut new = world.beside(&journal).await.unwrap();
    let generation = new.generation();
    generations.switch(generation, Switch::CaughtUp).await.unwrap();

    journal.upload("a", 1);
    let error = fold(&mut old, &journal, 10).await.unwrap_err().downcast::<Error>().unwrap();
    assert!(matches!(&error, Error::Fenced { reason, .. } if reason.contains("answers reads now")), "{error:?}");
    let retired = old.generation();
    old.close().await;
    let error = Writer::open_generation(&world.config, retired).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    // The new one goes on, and its lock is what the next projector waits for.
    fold(&mut new, &journal, 10).await.unwrap();
    new.close().await;
    assert_eq!(world.writer(&journal).await.unwrap().generation(), generation);
}

#[tokio::test]
async fn a_save_that_fails_leaves_nothing() {
    let mut journal = Journal::begun(1);
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    let before = writer.checkpoint().await.unwrap();
    journal.upload("a", 1);
    world.sql(&format!("DROP TABLE {}.receipts", writer.generation().schema())).unwrap();
    let mut view = View::default();
    // One that may be there; for another one nobody would be asked.
    let receipt = fold::Key::Receipt(journal.events[0].decode().unwrap().id);
    let error = writer.load(&[receipt], &mut view).await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
    fold(&mut writer, &journal, 10).await.unwrap_err();
    writer.close().await;
    let mut writer = world.writer(&journal).await.unwrap();
    assert_eq!(writer.checkpoint().await.unwrap(), before);
}
