//! Which space has a name: remembered, but never longer than it is true.

use std::time::Duration;

use catalog::{Lookup, Reader};
use proto::SpaceId;

use crate::changes::space_name;
use crate::world::{Journal, PATIENCE, World, fold, main_space, path};

async fn id(reader: &Reader, name: &str) -> Option<SpaceId> {
    reader.space(&space_name(name)).await.expect("the catalog is there")
}

/// Renames, deletes and creates; whoever has waited for the sequence sees it, also where it is remembered.
async fn read_your_writes(poll_interval: Duration) -> anyhow::Result<()> {
    let mut journal = Journal::begun(1);
    let first = journal.create_space("first");
    let mut world = World::new().await?;
    world.config.poll_interval = poll_interval;
    let (mut writer, reader) = world.build(&journal).await?;
    let other = world.reader();
    for reader in [&reader, &other] {
        reader.wait_for(journal.head(), PATIENCE).await?;
        assert_eq!(id(reader, "first").await, Some(first));
        assert_eq!(id(reader, "main").await, Some(journal.space()));
    }

    journal.rename_space(first, "first", "second");
    fold(&mut writer, &journal, 10).await?;
    for reader in [&reader, &other] {
        reader.wait_for(journal.head(), PATIENCE).await?;
        assert_eq!((id(reader, "first").await, id(reader, "second").await), (None, Some(first)));
    }

    // The name goes to another space, in the same batch as an upload that follows.
    let anew = journal.create_space("first");
    journal.upload("a", 1);
    fold(&mut writer, &journal, 10).await?;
    for reader in [&reader, &other] {
        reader.wait_for(journal.head(), PATIENCE).await?;
        assert_eq!((id(reader, "first").await, id(reader, "second").await), (Some(anew), Some(first)));
    }

    journal.delete_space(first, "second");
    let second = journal.create_space("second");
    fold(&mut writer, &journal, 10).await?;
    for reader in [&reader, &other] {
        reader.wait_for(journal.head(), PATIENCE).await?;
        assert_eq!((id(reader, "first").await, id(reader, "second").await), (Some(anew), Some(second)));
    }
    Ok(())
}

#[tokio::test]
async fn a_space_that_was_renamed_or_deleted_is_not_remembered_when_that_is_announced() {
    read_your_writes(Duration::from_hours(1)).await.unwrap();
}

#[tokio::test]
async fn a_space_that_was_renamed_or_deleted_is_not_remembered_when_that_is_looked_up() {
    read_your_writes(Duration::from_millis(1)).await.unwrap();
}

#[tokio::test]
async fn only_changes_of_spaces_make_a_reader_forget() {
    let mut journal = Journal::begun(1);
    let (world, mut writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(id(&reader, "main").await, Some(journal.space()));
    journal.upload("a", 1);
    journal.retain(Some(3), None);
    // Rejected: its name is taken.
    journal.rename_space(journal.space(), "main", "main");
    fold(&mut writer, &journal, 1).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    let schema = writer.generation().schema();
    assert_eq!(world.sql(&format!("SELECT spaces_seq FROM {schema}.checkpoint")).unwrap(), "4");
    // What is remembered needs no table.
    world.sql(&format!("ALTER TABLE {schema}.spaces RENAME TO gone")).unwrap();
    assert_eq!(id(&reader, "main").await, Some(journal.space()));
}

#[tokio::test]
async fn nothing_is_found_in_a_space_that_was_deleted() {
    let mut journal = Journal::begun(1);
    journal.upload("a", 1);
    journal.delete_space(journal.space(), "main");
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    assert_eq!(id(&reader, "main").await, None);
    let found = reader.file(&main_space(), &path("a"), None, None).await.unwrap();
    assert!(matches!(found, Lookup::NoSpace), "{found:?}");
    let listed = reader.list(&main_space(), None, 10, "").await.unwrap();
    assert!(matches!(listed, catalog::Listing::NoSpace), "{listed:?}");
}

#[tokio::test]
async fn who_had_a_name_once_is_known_the_last_one_first() {
    let mut journal = Journal::begun(1);
    let odd = r#"a "b" \c"#;
    let first = journal.create_space(odd);
    let (world, mut writer, reader) = World::with(&journal).await.unwrap();
    let former = async |name: &str| reader.former_spaces(&space_name(name)).await.unwrap();
    assert_eq!(former(odd).await, [], "it has it still");
    journal.rename_space(first, odd, "second");
    let anew = journal.create_space(odd);
    // Rejected: the name is taken.
    journal.rename_space(journal.space(), "main", "second");
    journal.rename_space(first, "second", "third");
    journal.delete_space(anew, odd);
    fold(&mut writer, &journal, 10).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    assert_eq!(former(odd).await, [anew, first]);
    assert_eq!((former("second").await, former("third").await), (vec![first], vec![]));
    journal.rename_space(first, "third", odd);
    fold(&mut writer, &journal, 10).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    assert_eq!(former(odd).await, [anew], "the other one has it again");
    // What is remembered needs no table.
    let schema = writer.generation().schema();
    world.sql(&format!("ALTER TABLE {schema}.events RENAME TO gone")).unwrap();
    assert_eq!(former(odd).await, [anew]);
}
