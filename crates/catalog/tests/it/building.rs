//! Creating, listing, dropping generations.

use catalog::{Error, State, Writer};

use crate::world::{Journal, World};

#[tokio::test]
async fn generations_are_listed_and_dropped() {
    let journal = Journal::begun(1);
    let (world, writer, _reader) = World::with(&journal).await.unwrap();
    let mut generations = world.generations().await.unwrap();
    let second = generations.create(journal.incarnation).await.unwrap();
    let listed: Vec<_> =
        generations.list().await.unwrap().into_iter().map(|info| (info.generation, info.state)).collect();
    assert_eq!(listed, [(writer.generation(), State::Active), (second, State::Building)]);

    let error = generations.drop(writer.generation()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason } if reason.contains("active")), "{error:?}");
    let building = Writer::open_generation(&world.config, second).await.unwrap();
    let error = generations.drop(second).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason } if reason.contains("written")), "{error:?}");
    building.close().await;
    generations.drop(second).await.unwrap();
    assert_eq!(generations.list().await.unwrap().len(), 1);
    assert_eq!(world.sql("SELECT to_regnamespace('highwater_g2') IS NULL").unwrap(), "t");
    // Numbers are never used again.
    assert!(generations.create(journal.incarnation).await.unwrap() > second);
}

#[tokio::test]
async fn a_half_built_first_generation_is_taken_up() {
    let world = World::new().await.unwrap();
    let journal = Journal::begun(1);
    let first = world.writer(&journal).await.unwrap();
    let generation = first.generation();
    first.close().await;
    let second = world.writer(&journal).await.unwrap();
    assert_eq!(second.generation(), generation);
}

#[tokio::test]
async fn late_indexes_may_be_made_again() {
    let world = World::new().await.unwrap();
    let mut generations = world.generations().await.unwrap();
    let generation = generations.create(Journal::new(1).incarnation).await.unwrap();
    let count = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'highwater_g1' AND indexname LIKE '%_idx'";
    assert_eq!(world.sql(count).unwrap(), "0");
    generations.index(generation).await.unwrap();
    let made = world.sql(count).unwrap();
    assert_ne!(made, "0");
    generations.index(generation).await.unwrap();
    world.sql("UPDATE highwater.generations SET indexed_at = NULL").unwrap();
    generations.index(generation).await.unwrap();
    assert_eq!(world.sql(count).unwrap(), made);
}

#[tokio::test]
async fn a_catalog_of_a_newer_fold_is_not_written() {
    let journal = Journal::begun(1);
    let (world, writer, _reader) = World::with(&journal).await.unwrap();
    let generation = writer.generation();
    writer.close().await;
    // An older one is brought up to date.
    world.sql("UPDATE highwater.generations SET event_types = '{}'").unwrap();
    Writer::open_generation(&world.config, generation).await.unwrap().close().await;
    let info = world.generations().await.unwrap().list().await.unwrap().remove(0);
    assert!(info.event_types.contains(&"highwater.file.uploaded.v1".to_owned()));

    world
        .sql("UPDATE highwater.generations SET event_types = array_append(event_types, 'highwater.future.happened.v1')")
        .unwrap();
    let error = Writer::open_generation(&world.config, generation).await.unwrap_err();
    assert!(matches!(&error, Error::Unfit { reason } if reason.contains("future.happened")), "{error:?}");
}
