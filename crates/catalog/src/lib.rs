//! The catalog: what the fold of the journal says, in Postgres.
//!
//! A catalog is disposable: it equals fold(journal) at its checkpoint, can be built again beside the live one, compared
//! with it row by row, and switched. Two levels of schema make that possible. The schema `highwater` says which builds
//! ("generations") there are and which of them answers reads; it is made by [`migrate`]. Each generation is a schema of
//! its own, `highwater_g<number>`, that holds nothing but what was folded; see `src/generation.sql`.
//!
//! Three doors: [`Reader`] for who answers questions, [`Writer`] for the one projector that folds into a generation, and
//! [`Generations`] for building, comparing and switching.
//!
//! All SQL of Highwater is in this crate. Queries are checked while compiling, against `.sqlx` or a live database: see
//! `prepare.sh`.

mod checkpoint;
mod config;
mod connect;
mod ddl;
mod error;
mod generation;
mod migrate;
mod records;

mod reader;
mod token;
mod watch;

mod writer;

mod compare;
pub mod offline;
mod snapshot;

pub use checkpoint::Checkpoint;
pub use compare::{Comparison, Difference, TableCount, compare};
pub use config::Config;
pub use ddl::table_names;
pub use error::Error;
pub use generation::{Generation, GenerationInfo, Generations, LAYOUT, State, Switch, Verification, Verified};
pub use migrate::migrate;
pub use reader::{
    Audited, ChangeRow, Cluster, DeletedSpace, Entry, EntryTarget, Event, Events, Explained, File, FolderListing,
    FolderLookup, FolderPage, GivenUp, GivenUpPage, Held, Keep, Listed, Listing, Lookup, MAX_PAGE, NodeStatus,
    PastVersion, Placed, Prunable, Reader, Redrive, Replica, Status, TrashPage, Trashed, Usage, UsageLookup, Version,
    VersionPage, Versioned, Wanted,
};
pub use snapshot::{Digest, Snapshot};
pub use watch::Checkpoints;
pub use writer::{Loader, Saved, Writer};

pub use fold::RECOVERED_SPACE;
pub use fold::rows::{
    BlobRow, BlobState, FileRow, FolderRow, NodeRow, Outcome, PlacementRow, ReceiptRow, ReplicaState, SpaceRow,
    VersionKind, VersionRow,
};
