//! Making the shared schema.

use std::time::Duration;

use catalog::Error;
use runtime::retry::Transient as _;

use crate::world::World;

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let world = World::new().await.unwrap();
    let before = world.sql("SELECT catalog_id FROM highwater.active").unwrap();
    catalog::migrate(&world.config).await.unwrap();
    let (a, b) = futures::join!(catalog::migrate(&world.config), catalog::migrate(&world.config));
    a.unwrap();
    b.unwrap();
    assert_eq!(world.sql("SELECT catalog_id FROM highwater.active").unwrap(), before);
}

#[tokio::test]
async fn a_missing_database_is_unavailable() {
    let world = World::new().await.unwrap();
    world.cluster.drop_database(&world.database).unwrap();
    let error = catalog::migrate(&world.config).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let mut config = catalog::Config::new("postgres://postgres@127.0.0.1:1/nothing");
    config.acquire_timeout = Duration::from_secs(2);
    let error = catalog::migrate(&config).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}
