//! Comparing and digesting generations.

use catalog::{Error, Generation, Snapshot, Writer, compare};

use crate::world::{Journal, World, fold};

fn journal() -> Journal {
    let mut journal = Journal::begun(1);
    for i in 0..30 {
        let (_, blob) = journal.upload(&format!("folder {}/file {i}", i % 4), 100 + i);
        journal.stored("node-b", &[blob]);
    }
    journal.garbage();
    journal
}

async fn generation(world: &World, journal: &Journal, batch: usize) -> anyhow::Result<Generation> {
    let generation = world.generations().await?.create(journal.incarnation).await?;
    let mut writer = Writer::open_generation(&world.config, generation).await?;
    fold(&mut writer, journal, batch).await?;
    writer.close().await;
    Ok(generation)
}

async fn snapshots(world: &World, left: Generation, right: Generation) -> (Snapshot, Snapshot) {
    let left = Snapshot::open(&world.config, left).await;
    let right = Snapshot::open(&world.config, right).await;
    (left.expect("the left one is there"), right.expect("the right one is there"))
}

#[tokio::test]
async fn a_flipped_cell_a_lost_row_and_a_made_up_row_are_found() {
    let world = World::new().await.unwrap();
    let journal = journal();
    let left = generation(&world, &journal, 3).await.unwrap();
    let right = generation(&world, &journal, 100).await.unwrap();
    let (mut a, mut b) = snapshots(&world, left, right).await;
    let equal = compare(&mut a, &mut b, 10).await.unwrap();
    assert_eq!((equal.differing, equal.differences.len()), (0, 0));
    assert!(equal.rows > 300, "{}", equal.rows);
    assert_eq!(a.digest().await.unwrap(), b.digest().await.unwrap());
    assert_eq!(a.digest().await.unwrap().rows, equal.rows);

    let schema = right.schema();
    world.sql(&format!("UPDATE {schema}.blobs SET size_bytes = 0 WHERE size_bytes = 107")).unwrap();
    world.sql(&format!("DELETE FROM {schema}.events WHERE seq = 9")).unwrap();
    world.sql(&format!("INSERT INTO {schema}.nodes VALUES ('node-b2', gen_random_uuid(), 1, 1)")).unwrap();
    // The open snapshots still see what was there before.
    assert_eq!(compare(&mut a, &mut b, 10).await.unwrap().differing, 0);

    let (mut a, mut b) = snapshots(&world, left, right).await;
    let found = compare(&mut a, &mut b, 10).await.unwrap();
    assert_eq!(found.differing, 3);
    let [blob, event, node] = found.differences.as_slice() else { panic!("{:?}", found.differences) };
    assert_eq!((blob.table.as_str(), blob.left.as_deref()), ("blobs", Some(r#"{"size_bytes":107}"#)));
    assert_eq!(blob.right.as_deref(), Some(r#"{"size_bytes":0}"#));
    assert_eq!((event.table.as_str(), event.key.as_str(), &event.right), ("events", "00000000000000000009", &None));
    assert!(event.left.as_ref().unwrap().contains("highwater.file.uploaded.v1"));
    assert_eq!((&event.events[..], event.more_events), (&[9][..], false));
    // The upload with 107 bytes is the eighth after the four that begin the journal, each followed by one report.
    assert_eq!((&blob.events[..], blob.more_events), (&[19, 20][..], false));
    assert_eq!((&node.events[..], node.more_events), (&[1][..], false));
    assert_eq!((node.table.as_str(), node.key.as_str(), &node.left), ("nodes", "node-b2", &None));
    assert_ne!(a.digest().await.unwrap().sha256, b.digest().await.unwrap().sha256);

    let few = compare(&mut a, &mut b, 1).await.unwrap();
    assert_eq!((few.differing, few.differences.len()), (3, 1));
}

#[tokio::test]
async fn generations_at_different_checkpoints_are_not_compared() {
    let world = World::new().await.unwrap();
    let mut journal = journal();
    let left = generation(&world, &journal, 50).await.unwrap();
    journal.upload("one more", 1);
    let right = generation(&world, &journal, 50).await.unwrap();
    let (mut a, mut b) = snapshots(&world, left, right).await;
    let error = compare(&mut a, &mut b, 10).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_snapshot_of_the_live_catalog_stays_while_it_goes_on() {
    let mut journal = journal();
    let (world, mut writer, _reader) = World::with(&journal).await.unwrap();
    let mut live = Snapshot::open(&world.config, writer.generation()).await.unwrap();
    let again = generation(&world, &journal, 7).await.unwrap();
    journal.upload("folder 1/file 1", 1);
    fold(&mut writer, &journal, 10).await.unwrap();
    let mut again = Snapshot::open(&world.config, again).await.unwrap();
    let compared = compare(&mut live, &mut again, 10).await.unwrap();
    assert_eq!(compared.differing, 0, "{:?}", compared.differences);
    assert_eq!(compared.checkpoint.n + 1, journal.n());
}
