//! S3 nodes: put, get, copy, probe, placement. Sole owner of aws-sdk-s3.
//!
//! [`Nodes`] is what a service opens: every configured [`Node`], each with a breaker and a health check, and the order in
//! which they are asked for a blob ([`Nodes::ranked`]). On it stand the three jobs: [`Upload`] writes a blob to one node in
//! bounded memory, and [`Resumable`] does so over many calls and processes; [`Read`] gives back only bytes whose digest
//! is right; [`copy`] puts a blob on a further node and has it verified there, and [`Node::erase`] takes it away again.
//!
//! A node is asked for as little as possible, since every S3 server behaves differently: no conditional requests, no
//! versioning, no trust in its ETags. What a node can do is found out by [`probe`].

mod config;
mod error;

mod marker;
mod node;
mod nodes;

mod blame;
mod blob;
mod commit;
mod copy;
mod described;
mod erase;
mod hash;
mod list;
mod place;
mod read;
mod resumable;
mod sends;
mod slice;
mod sweep;
mod upload;
mod verify;

pub mod archive;
pub mod probe;

mod blocks;
mod body;
mod breaker;
mod checksum;
mod multipart;
mod pace;
mod sha256;
mod transport;

pub use blob::{BlobRef, Expected, ObjectMeta, Written};
pub use body::Body;
pub use breaker::Health;
pub use config::{Config, NodeConfig, check_nodes, check_secrets};
pub use copy::{Copied, CopyError, CopyOptions, copy};
pub use described::Described;
pub use error::{Error, NodeFault};
pub use list::ObjectKey;
pub use marker::{MARKER_KEY, Marker};
pub use node::{Listed, Node, ObjectHead, OtherMarker, Page};
pub use nodes::{Nodes, Standing};
pub use read::{BadReplica, Failed, Read};
pub use resumable::{PartRecord, Progress, Resumable, UploadState};
pub use sha256::Sha256;
pub use upload::Upload;
