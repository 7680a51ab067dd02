//! The schema that all generations share.

use sqlx::Connection as _;
use sqlx::migrate::MigrateError;

use crate::connect::{self, SHARED_SCHEMA, Use};
use crate::{Config, Error};

/// Where the migrator keeps which migrations it has applied.
const MIGRATIONS_TABLE: &str = "highwater.migrations";

/// Makes the schema `highwater`, or brings it up to date. The database itself must exist. Running it again changes
/// nothing: applied migrations are remembered, and two at once wait for each other.
///
/// It makes no generation: the projector does, and readers stay unavailable until the first one has caught up.
pub async fn migrate(config: &Config) -> Result<(), Error> {
    let mut conn = connect::dedicated(config, SHARED_SCHEMA, Use::Rows).await?;
    let mut migrator = sqlx::migrate!("./migrations");
    migrator.create_schema(SHARED_SCHEMA);
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator.set_ignore_missing(false).set_locking(true);
    migrator.run(&mut conn).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Error::from(error),
        MigrateError::VersionMissing(version) => Error::Unfit {
            reason: format!(
                "its schema has migration {version}, which this program does not know; a newer one is needed"
            ),
        },
        other => Error::Unfit { reason: format!("migrating the schema failed: {other}") },
    })?;
    // A failed farewell changes nothing: all migrations are committed.
    conn.close().await.ok();
    Ok(())
}
