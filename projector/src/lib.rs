//! The projector folds the journal into the catalog.
//!
//! `run` follows the journal for ever; `rebuild` folds all of it into a new catalog and can put that in the place of the
//! live one; `verify` folds all of it again and compares every row. All three drive the fold with the same code, so what
//! one decides the others decide too. `prune` drops what they have left. `export` writes a slice of the journal into a file, and `fold` folds such a file in
//! memory, without any server.
//!
//! It knows the journal and the catalog. It does not know that there are nodes with bytes on them, and nothing outward
//! follows from folding: the same events can be folded again at any time.

mod cli;
mod config;
mod error;

mod adopt;
mod decode;
mod driver;
mod identity;
mod live;

mod builds;
mod comparison;
mod progress;
mod prune;
mod rebuild;
mod report;
mod scheduled;
mod verify;

mod export;
mod offline;

mod run;

pub use cli::{Cli, Command, Export, Fold, Prune, Rebuild};
pub use config::{Config, DEFAULTS, Projector};
pub use error::{Error, Halt};
pub use export::Position;
pub use run::run;
