//! The replicator copies blobs to the nodes that lack them, and erases from the nodes those that nobody needs any more.
//!
//! Each node has two durable consumers of the journal, one for small and one for large blobs; for each that it serves, a
//! process runs one lane. Any number of processes share the consumers. A delivery is acknowledged only when the journal
//! holds what became of it: ReplicaStored, BlobErased, or ReplicationParked. So a process may be killed at any point, and what it was
//! doing is done again, by whomever.
//!
//! A node that joins, or whose disk was changed, is filled by one process at a time, which reads the journal from its
//! beginning and remembers how far it came.
//!
//! It knows the journal and the nodes. It does not know that there is a catalog, nor what the fold decides: it copies
//! every blob that an event names. The one thing that cannot be undone is to erase, and the event that orders it is
//! published only once the fold has condemned the blobs. A copy that was asked for before, and is made after that, undoes
//! itself.

mod archive;
mod cli;
mod config;

mod run;

mod confirm;
mod job;
mod lane;
mod refill;

pub use cli::Cli;
pub use config::{Config, DEFAULTS, LaneName, Replicator};
pub use run::run;
