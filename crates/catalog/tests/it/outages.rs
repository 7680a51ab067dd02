//! Catalogs that go away and come back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::{Error, Lookup, Reader, Switch};

use crate::cluster::Cluster;
use crate::short::status;
use crate::world::{Journal, PATIENCE, World, fold, main_space, path};

/// Asks until the reader is unavailable for a reason with these words.
async fn unavailable(reader: &Reader, words: &str) {
    let started = Instant::now();
    loop {
        let error = reader.file(&main_space(), &path("a"), None, None).await;
        match error {
            Err(Error::Unavailable { reason, .. }) if reason.contains(words) => return,
            other => assert!(started.elapsed() < PATIENCE, "not {words:?} but {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn before_the_first_generation_has_caught_up_there_are_no_answers() {
    let world = World::new().await.unwrap();
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let reader = world.reader();
    unavailable(&reader, "first generation").await;
    let mut writer = world.writer(&journal).await.unwrap();
    fold(&mut writer, &journal, 2).await.unwrap();
    assert!(!writer.is_active().await.unwrap());
    unavailable(&reader, "first generation").await;
    world.generations().await.unwrap().switch(writer.generation(), Switch::CaughtUp).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    assert!(matches!(reader.file(&main_space(), &path("a"), None, None).await.unwrap(), Lookup::File(_)));
}

#[tokio::test]
async fn a_dropped_database_is_found_again_when_it_is_rebuilt() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (world, writer, reader) = World::with(&journal).await.unwrap();
    let old_space = reader.space(&main_space()).await.unwrap();
    assert!(old_space.is_some());
    writer.close().await;

    world.cluster.drop_database(&world.database).unwrap();
    unavailable(&reader, "").await;
    world.cluster.create_database(&world.database).unwrap();
    unavailable(&reader, "not migrated").await;
    catalog::migrate(&world.config).await.unwrap();
    unavailable(&reader, "first generation").await;
    let error = reader.space(&main_space()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");

    // Another journal: the same generation number, the same names, other ids.
    let mut journal = Journal::begun(2);
    journal.upload("a", 1);
    let (_writer, _other) = world.build(&journal).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    assert_eq!(reader.space(&main_space()).await.unwrap(), Some(journal.space()));
    assert_ne!(reader.space(&main_space()).await.unwrap(), old_space);
    assert!(matches!(reader.file(&main_space(), &path("a"), None, None).await.unwrap(), Lookup::File(_)));
}

#[tokio::test]
async fn a_dropped_generation_is_unavailable() {
    let journal = Journal::begun(1);
    let (world, writer, reader) = World::with(&journal).await.unwrap();
    world.sql(&format!("DROP SCHEMA {} CASCADE", writer.generation().schema())).unwrap();
    unavailable(&reader, "schema is missing").await;
}

#[tokio::test]
async fn a_database_that_an_older_program_migrated_has_files_and_no_status() {
    let journal = Journal::begun(1);
    let (world, _writer, reader) = World::with(&journal).await.unwrap();
    world.sql("ALTER TABLE highwater.generations DROP COLUMN verified_at").unwrap();
    let error = status(&reader).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable { reason, .. } if reason.contains("of an older version")), "{error:?}");
    assert!(reader.file(&main_space(), &path("a"), None, None).await.is_ok());
}

#[tokio::test]
async fn a_catalog_of_another_layout_is_unavailable() {
    let journal = Journal::begun(1);
    let (world, writer, _reader) = World::with(&journal).await.unwrap();
    writer.close().await;
    world.sql("UPDATE highwater.generations SET layout = 999").unwrap();
    unavailable(&world.reader(), "projector rebuild").await;
    let cancel = tokio_util::sync::CancellationToken::new();
    let error = catalog::Writer::open(&world.config, journal.incarnation, || {}, &cancel).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_restarts_is_found_again() {
    let world = World::on(Arc::new(Cluster::start().unwrap())).await.unwrap();
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (writer, reader) = world.build(&journal).await.unwrap();
    drop(writer);
    assert!(reader.space(&main_space()).await.unwrap().is_some());
    for _ in 0..2 {
        assert!(matches!(reader.file(&main_space(), &path("a"), None, None).await.unwrap(), Lookup::File(_)));
        world.cluster.stop();
        unavailable(&reader, "").await;
        // Known to be gone, it is said without waiting for a connection as long as one may take.
        let status = tokio::time::timeout(world.config.acquire_timeout, status(&reader)).await.unwrap();
        assert!(matches!(status, Err(Error::Unavailable { .. })), "{status:?}");
        // Ids of spaces do not change: who knows one may go on.
        assert_eq!(reader.space(&main_space()).await.unwrap(), Some(journal.space()));
        world.cluster.resume().unwrap();
        reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    }
    let mut writer = world.writer(&journal).await.unwrap();
    journal.upload("b", 1);
    fold(&mut writer, &journal, 10).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_read_survives_dead_connections_of_the_pool() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (world, _writer, reader) = World::with(&journal).await.unwrap();
    for _ in 0..3 {
        // Several at once, so that the pool has several connections to lose.
        let (space, path) = (main_space(), path("a"));
        let ask = || reader.file(&space, &path, None, None);
        let (a, b, c) = futures::join!(ask(), ask(), ask());
        for found in [a, b, c] {
            assert!(matches!(found.unwrap(), Lookup::File(_)));
        }
        let idle = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND query LIKE 'WITH RECURSIVE walk%'";
        assert_ne!(world.sql(idle).unwrap(), "0");
    }
}
