//! Waiting until enough nodes hold the bytes of a version.

use std::time::Duration;

use catalog::{ReplicaState, Version};
use proto::{NodeId, Sequence, VersionId};
use tokio::time::Instant;

use super::Files;
use crate::error::{Code, Error, Result};

/// How far a version is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replicated {
    /// The nodes that hold its bytes.
    pub(crate) nodes: Vec<NodeId>,
}

impl Files {
    /// Waits until so many nodes hold the bytes of a version, or for as long as asked, at most
    /// `limits.replication_wait`.
    pub(crate) async fn wait_replicated(
        &self,
        version_id: VersionId,
        replicas: u32,
        timeout: Option<Duration>,
        at_least: Option<Sequence>,
    ) -> Result<Replicated> {
        self.reach(at_least).await?;
        let longest = self.limits().replication_wait;
        let timeout = timeout.map_or(longest, |timeout| timeout.min(longest));
        self.check_replicas(replicas)?;
        let replicated = self.replicated(version_id, replicas, timeout).await?;
        let Some(replicated) = replicated else {
            return Err(Error::new(Code::VersionNotFound, "there is no version with this id that has content"));
        };
        if replicated.nodes.len() < replicas as usize {
            let problem = format!("{} of {replicas} nodes hold the bytes so far", replicated.nodes.len());
            return Err(Error::new(Code::ReplicationTimeout, problem).fact("replicas_stored", replicated.nodes.len()));
        }
        Ok(replicated)
    }

    /// Holds the answer to an upload back until so many nodes hold its bytes. The upload itself is safe and goes on.
    pub(super) async fn acked(&self, version_id: VersionId, at: Sequence, replicas: u32) -> Result<()> {
        if replicas <= 1 {
            return Ok(());
        }
        let replicated = self.replicated(version_id, replicas, self.limits().replication_wait).await?;
        let stored = replicated.map_or(0, |replicated| replicated.nodes.len());
        if stored >= replicas as usize {
            return Ok(());
        }
        let problem = format!(
            "the file is stored and safe in the journal at {at}, but only {stored} of {replicas} nodes hold it so far; ask \
             again with the same request id"
        );
        Err(Error::new(Code::ReplicasTooFew, problem).fact("sequence", at).fact("replicas_stored", stored))
    }

    /// Checks that so many nodes are there at all, and that blobs are placed on so many.
    pub(super) fn check_replicas(&self, replicas: u32) -> Result<()> {
        let opened = self.ready()?;
        let nodes = opened.nodes.all().len();
        if replicas as usize > nodes {
            let problem = format!("{replicas} nodes are asked for, and there are {nodes}");
            return Err(Error::new(Code::ReplicasInvalid, problem).fact("limit", nodes));
        }
        match opened.nodes.layout().placement.copies {
            Some(copies) if replicas > copies.get() => {
                let problem = format!("{replicas} nodes are asked for, and each blob is placed on {copies}");
                Err(Error::new(Code::ReplicasInvalid, problem).fact("limit", copies))
            }
            _ => Ok(()),
        }
    }

    /// The nodes that hold the version, once they are enough or the time is over; none when it is not there.
    async fn replicated(&self, version_id: VersionId, replicas: u32, timeout: Duration) -> Result<Option<Replicated>> {
        let deadline = Instant::now() + timeout;
        let mut checkpoints = self.catalog().checkpoints();
        loop {
            let found = self.catalog().version(version_id).await?.map(|version| Replicated::of(&version));
            if found.as_ref().is_some_and(|found| found.nodes.len() >= replicas as usize) {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, checkpoints.next()).await {
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::stopping()),
                Err(_) => return Ok(found),
            }
        }
    }
}

// === impl Replicated ===

impl Replicated {
    fn of(version: &Version) -> Self {
        let stored = version.replicas.iter().filter(|replica| replica.state == Some(ReplicaState::Stored));
        Self { nodes: stored.map(|replica| replica.node.clone()).collect() }
    }
}
