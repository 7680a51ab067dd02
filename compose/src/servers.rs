//! The programs of others that a stack starts: what each is told, where it keeps its data.

pub(crate) mod nats;
pub(crate) mod node;
pub(crate) mod postgres;
