//! What people ask who run the system: what was given up, what is to be asked for again, why a blob is where it is, and
//! what a node holds that no other one does.

mod explain;
mod given_up;
mod nodes;
mod redrive;

pub use explain::Explained;
pub use given_up::{GivenUp, GivenUpPage};
pub use nodes::Held;
pub use redrive::{Redrive, Wanted};
