//! What processes that were killed left behind on nodes, and nobody would come back for.

use std::collections::HashSet;
use std::time::Duration;

use time::OffsetDateTime;

use crate::checksum::Algorithm;
use crate::list::PROBES;
use crate::multipart::{Multipart, pending};
use crate::{Error, Node, Nodes};

/// What the keys of blobs begin with.
const BLOBS: &str = "blobs/";
/// So many objects of probes are asked for at once.
const PAGE: u16 = 1000;

impl Nodes {
    /// Throws away what killed processes left behind on any node, and began or wrote longer than `older_than` ago: multipart
    /// uploads of blobs and of [probes](crate::probe), and objects of probes; how many. A node that is down is logged and
    /// left for the next time, and so are the uploads on one that does not list them.
    ///
    /// `keep` are the multipart ids of the uploads that can be resumed ([`crate::UploadState::multipart_id`]). It must
    /// be complete, and not older than `older_than`: what was begun since is young enough to be left alone.
    pub async fn sweep(&self, older_than: Duration, keep: &HashSet<String>) -> usize {
        let mut total = 0;
        for node in self.all() {
            let limit = node.clock().now() - older_than;
            let swept = async { Ok(abort_uploads(node, limit, keep).await? + delete_probes(node, limit).await?) };
            let id = node.id();
            match swept.await {
                Ok(0) => {}
                Ok(swept) => {
                    tracing::info!(node.id = %id, "threw away {swept} unfinished uploads and probes on node {id}");
                    total += swept;
                }
                Err(error) => {
                    let error: Error = error;
                    tracing::warn!(node.id = %id, "cannot look for unfinished uploads on node {id}: {error}");
                }
            }
        }
        total
    }
}

async fn abort_uploads(node: &Node, limit: OffsetDateTime, keep: &HashSet<String>) -> Result<usize, Error> {
    // Some servers list only the uploads of one key, or all of them: ask for all and choose here.
    let uploads = pending(node, "").await?.unwrap_or_default();
    let mut aborted = 0;
    for upload in uploads {
        let is_old = upload.initiated_at.is_some_and(|at| at < limit);
        let is_ours = [BLOBS, PROBES].iter().any(|prefix| upload.key.starts_with(prefix));
        if is_old && is_ours && !keep.contains(&upload.id) {
            Multipart::resume(node, &upload.key, upload.id, Algorithm::Crc32c, None).abort().await?;
            aborted += 1;
        }
    }
    Ok(aborted)
}

async fn delete_probes(node: &Node, limit: OffsetDateTime) -> Result<usize, Error> {
    let (mut deleted, mut from) = (0, None);
    loop {
        let page = node.list(PROBES, from, PAGE).await?;
        for object in page.objects {
            if object.modified_unix_s.is_some_and(|at| at < limit.unix_timestamp()) {
                node.delete(&object.key).await?;
                deleted += 1;
            }
        }
        from = page.next;
        if from.is_none() {
            return Ok(deleted);
        }
    }
}
