//! Given this journal, when this comes, then this state and this outcome: one module for each kind of change.

mod copies;
mod deletes;
mod erasure;
mod folders;
mod moves;
mod nodes;
mod placement;
mod retention;
mod spaces;
mod tables;
mod uploads;
