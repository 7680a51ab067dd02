//! The life of a file: spaces, folders, versions, moves, conflicts, receipts, trash, retention, and the past.

mod conflicts;
mod history;
mod names;
mod race;
mod requests;
mod resume;
mod sequences;
mod spaces;
mod trash;
mod tree;
mod undo;
mod watch;
