//! Copies between nodes: how the work is shared, how it goes on while nodes fail, and how they come to be where they should
//! be again when nodes are wiped, replaced, added, taken out and lose what they hold; and the figures about all that.

mod again;
mod audit;
mod catching_up;
mod disk;
mod explain;
mod faults;
mod lag;
mod large;
mod lines;
mod lost;
mod origins;
mod parked;
mod placement;
mod reads;
mod refill;
mod retire;
mod scale;
mod scrub;
mod single;
mod weights;
mod wipe;
mod world;
