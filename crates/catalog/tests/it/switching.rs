//! Switching generations under readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use catalog::{Error, Listing, Lookup, Switch};
use tokio::task::JoinSet;

use crate::short::status;
use crate::world::{Journal, PATIENCE, World, fold, main_space, path};

#[tokio::test]
async fn readers_never_notice_a_switch() {
    let mut journal = Journal::begun(1);
    let (first, _) = journal.upload("a/b", 1);
    let (world, mut writer, reader) = World::with(&journal).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicU32::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (reader, done, asked) = (reader.clone(), Arc::clone(&done), Arc::clone(&asked));
        readers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let found = reader.file(&main_space(), &path("a/b"), None, None).await?;
                assert!(matches!(found, Lookup::File(_)), "{found:?}");
                let nothing = reader.file(&main_space(), &path("a/nothing"), None, None).await?;
                assert!(matches!(nothing, Lookup::NoFile), "{nothing:?}");
                let listed = reader.list(&main_space(), None, 10, "").await?;
                assert!(matches!(&listed, Listing::Page { files, .. } if !files.is_empty()), "{listed:?}");
                assert!(reader.receipt(first).await?.is_some());
                status(&reader).await?;
                asked.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Error>(())
        });
    }
    for round in 0..5 {
        // Fold into the live one, and let the readers go on for a while.
        journal.upload(&format!("round {round}"), 1);
        fold(&mut writer, &journal, 10).await.unwrap();
        let target = asked.load(Ordering::Relaxed) + 10;
        while asked.load(Ordering::Relaxed) < target && readers.try_join_next().is_none() {
            tokio::task::yield_now().await;
        }
        let mut generations = world.generations().await.unwrap();
        let next = world.beside(&journal).await.unwrap();
        let generation = next.generation();
        generations.switch(generation, Switch::CaughtUp).await.unwrap();
        let retired = writer.generation();
        writer.close().await;
        writer = next;
        reader.wait_for(journal.head(), PATIENCE).await.unwrap();
        if round > 2 {
            // Its tables may even be gone.
            while let Err(refused) = generations.drop(retired).await {
                assert!(refused.to_string().contains("being read"), "{refused:?}");
                tokio::task::yield_now().await;
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    while let Some(ended) = readers.join_next().await {
        ended.unwrap().unwrap();
    }
    let status = status(&reader).await.unwrap();
    assert_eq!((status.generation, status.checkpoint.sequence()), (writer.generation(), journal.head()));
}

#[tokio::test]
async fn a_generation_that_is_dropped_while_it_is_looked_at_is_no_outage() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (world, writer, reader) = World::with(&journal).await.unwrap();
    let old = writer.generation();
    writer.close().await;
    let new = world.beside(&journal).await.unwrap().generation();
    // The reader's task knows that it is active, and waits for its checkpoint.
    let sql = format!(
        "BEGIN;
         LOCK TABLE {schema}.checkpoint;
         DO $$ BEGIN
             WHILE NOT EXISTS (SELECT FROM pg_locks WHERE relation = '{schema}.checkpoint'::regclass AND NOT granted) LOOP
                 PERFORM pg_sleep(0.01);
             END LOOP;
         END $$;
         UPDATE highwater.generations SET state = 'retired' WHERE number = {old};
         UPDATE highwater.generations SET state = 'active' WHERE number = {new};
         UPDATE highwater.active SET generation = {new};
         DROP SCHEMA {schema} CASCADE;
         DELETE FROM highwater.generations WHERE number = {old};
         COMMIT",
        schema = old.schema(),
        old = old.number(),
        new = new.number(),
    );
    let (cluster, database) = (Arc::clone(&world.cluster), world.database.clone());
    tokio::task::spawn_blocking(move || cluster.sql(&database, &sql)).await.unwrap().unwrap();
    assert_eq!(status(&reader).await.unwrap().generation, new);
}

#[tokio::test]
async fn a_generation_that_is_behind_does_not_become_active() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (world, writer, _reader) = World::with(&journal).await.unwrap();
    let mut generations = world.generations().await.unwrap();
    let behind = generations.create(journal.incarnation).await.unwrap();
    let error = generations.switch(behind, Switch::CaughtUp).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason } if reason.contains("the past")), "{error:?}");
    assert_eq!(generations.active().await.unwrap(), Some(writer.generation()));
    generations.switch(behind, Switch::Regardless).await.unwrap();
    assert_eq!(generations.active().await.unwrap(), Some(behind));
    // Again changes nothing; back is not possible.
    generations.switch(behind, Switch::CaughtUp).await.unwrap();
    let error = generations.switch(writer.generation(), Switch::Regardless).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_generation_of_an_older_layout_gives_way() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    let (world, writer, reader) = World::with(&journal).await.unwrap();
    let old = writer.generation();
    writer.close().await;
    world.sql("UPDATE highwater.generations SET layout = 1").unwrap();
    world.sql(&format!("ALTER TABLE {}.checkpoint DROP COLUMN spaces_seq", old.schema())).unwrap();
    let mut generations = world.generations().await.unwrap();
    let new = world.beside(&journal).await.unwrap();
    let generation = new.generation();
    // This program's readers say what is to be done, until it is done.
    let error = world.reader().space(&main_space()).await.unwrap_err();
    assert!(error.to_string().contains("projector rebuild"), "{error:?}");
    generations.switch(generation, Switch::CaughtUp).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    let found = reader.file(&main_space(), &path("a"), None, None).await.unwrap();
    assert!(matches!(found, Lookup::File(_)), "{found:?}");
}

#[tokio::test]
async fn a_switch_waits_for_nobody_but_a_save_in_flight() {
    let journal = Journal::begun(1);
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    let mut generations = world.generations().await.unwrap();
    let mut building = world.beside(&journal).await.unwrap();
    let next = building.generation();
    // An idle writer holds nothing.
    generations.switch(next, Switch::CaughtUp).await.unwrap();
    assert!(!writer.is_active().await.unwrap());
    assert!(building.is_active().await.unwrap());
}
