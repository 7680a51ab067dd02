//! What people ask who run the system: what was given up, what is to be asked for again, why a blob is where it is, where
//! all of them are, and what a node holds that no other one does.

mod explain;
mod given_up;
mod nodes;
mod placed;
mod redrive;

pub use explain::Explained;
pub use given_up::{GivenUp, GivenUpPage};
pub use nodes::{Cluster, Held};
pub use placed::Placed;
pub use redrive::{Redrive, Wanted};
