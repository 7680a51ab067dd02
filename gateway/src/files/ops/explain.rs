//! Why a blob is where it is.

use catalog::ReplicaState;
use proto::{BlobId, NodeId, Sequence};

use super::redrive::blob_not_found;
use super::refill;
use super::sentences::{Seen, sentence, unread};
use crate::error::Result;
use crate::files::Files;
use crate::files::request::Place;

/// The events that name a blob are answered up to so many.
const MAX_EVENTS: u32 = 1000;

/// What shall be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// The content of a file.
    File(Place),
    /// A blob.
    Blob(BlobId),
}

/// Why a blob is where it is.
#[derive(Debug)]
pub(crate) struct Explained {
    /// What the catalog knows.
    pub(crate) known: catalog::Explained,
    /// One sentence for each of its pairs.
    pub(crate) sentences: Vec<String>,
}

impl Files {
    /// Why the content of a file, or a blob, is where it is.
    pub(crate) async fn explain(&self, what: &What, at_least: Option<Sequence>) -> Result<Explained> {
        let blob_id = match what {
            What::File(place) => self.file(place, None, None, at_least).await?.version.blob.blob_id,
            What::Blob(blob_id) => {
                self.reach(at_least).await?;
                *blob_id
            }
        };
        let opened = self.ready()?;
        let known = self.catalog().explain(blob_id, MAX_EVENTS).await?.ok_or_else(|| blob_not_found(blob_id))?;
        let health_of = |node: &NodeId| opened.nodes.get(node).map(blobs::Node::state);
        let stored = known.replicas.iter().filter(|replica| replica.state == Some(ReplicaState::Stored));
        let holders: Vec<_> = stored.map(|replica| (replica.node.clone(), health_of(&replica.node))).collect();
        let unread = unread(&holders);
        let mut sentences = Vec::with_capacity(known.replicas.len());
        for replica in &known.replicas {
            let mut refill = refill::under_way(&opened.journal, &replica.node).await;
            if refill.is_none() && replica.state == Some(ReplicaState::Pending) {
                let origin = &known.blob.origin_node;
                refill = refill::catching_up(&opened.journal, &replica.node, origin, replica.seq).await;
            }
            let health = health_of(&replica.node);
            sentences.push(sentence(&known, replica, &Seen { health, refill, unread: unread.clone() }));
        }
        Ok(Explained { known, sentences })
    }
}
