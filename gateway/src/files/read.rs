//! Reading one file, from any node that has its bytes.

use blobs::BlobRef;
use bytes::Bytes;
use catalog::{BlobRow, File, Lookup, Replica, ReplicaState};
use proto::{NodeId, Path, Sequence, SpaceName, VersionId};
use tokio::sync::OwnedSemaphorePermit;

use super::bad_replicas::Finds;
use super::request::{At, Place, Range};
use super::{Files, space_not_found};
use crate::error::{Code, Error, Result};

/// A download under way.
pub(crate) struct Reading {
    /// What is read.
    pub(crate) file: File,
    /// The first byte.
    pub(crate) offset: u64,
    /// How many bytes follow.
    pub(crate) length: u64,
    pub(super) read: blobs::Read,
    /// What was verified and not yet given out.
    ready: Bytes,
    chunk_bytes: usize,
    /// How many of the bad replicas were reported.
    pub(super) reported: usize,
    /// The same of the holders that failed.
    pub(super) reported_failed: usize,
    pub(super) finds: Finds,
    _place: OwnedSemaphorePermit,
}

impl Files {
    /// Begins to read a range of a file's current version, or of another one.
    pub(crate) async fn read(
        &self,
        place: &Place,
        version_id: Option<VersionId>,
        range: Range,
        at: Option<At>,
        at_least: Option<Sequence>,
    ) -> Result<Reading> {
        let running = self.place(&self.inner().downloads, Code::TooManyDownloads).await?;
        let nodes = &self.ready()?.nodes;
        let file = self.file_or_trashed(place, version_id, at, at_least).await?;
        let length = range.length(file.version.blob.size_bytes)?;
        let holders = holders(&file.version.replicas, &file.version.blob);
        let read = nodes.read(blob_ref(&file.version.blob), &holders, range.offset, length);
        let chunk_bytes = usize::try_from(self.limits().download_chunk_bytes).unwrap_or(usize::MAX);
        let ready = Bytes::new();
        let (offset, finds) = (range.offset, self.inner().finds.clone());
        Ok(Reading {
            file,
            offset,
            length,
            read,
            ready,
            chunk_bytes,
            reported: 0,
            reported_failed: 0,
            finds,
            _place: running,
        })
    }

    /// A file with its current version, or another one, and the state of its bytes on every node.
    pub(crate) async fn file(
        &self,
        place: &Place,
        version_id: Option<VersionId>,
        at: Option<At>,
        at_least: Option<Sequence>,
    ) -> Result<File> {
        let at = self.point(at, at_least).await?;
        let Place { space, path } = place;
        match self.catalog().file(space, path, version_id, at).await? {
            Lookup::File(file) => Ok(*file),
            Lookup::NoFile => Err(file_not_found(space, path)),
            Lookup::Folder(_) => {
                let problem = format!("{:?} is a folder", path.as_str());
                Err(Error::new(Code::FileNotFound, problem))
            }
            Lookup::Pruned(_) => Err(pruned(path)),
            Lookup::NoVersion(_) => {
                let problem = format!("the file {:?} has no such version", path.as_str());
                Err(Error::new(Code::VersionNotFound, problem))
            }
            Lookup::NoSpace => Err(space_not_found(space)),
        }
    }
}

impl Files {
    /// As [`Files::file`]; a version of a file that is in the trash is found where the file was.
    pub(crate) async fn file_or_trashed(
        &self,
        place: &Place,
        version_id: Option<VersionId>,
        at: Option<At>,
        at_least: Option<Sequence>,
    ) -> Result<File> {
        let not_found = match (self.file(place, version_id, at, at_least).await, version_id, at) {
            (Err(error), Some(version_id), None)
                if matches!(error.code(), Code::FileNotFound | Code::VersionNotFound) =>
            {
                (error, version_id)
            }
            (found, ..) => return found,
        };
        let (not_found, version_id) = not_found;
        let space_id = self.space(&place.space).await?;
        let past = self.catalog().past_versions(space_id, &[version_id], u64::MAX).await?;
        if past.first().and_then(|version| version.path.as_ref()) != Some(&place.path) {
            return Err(not_found);
        }
        let Some(version) = self.catalog().version(version_id).await? else { return Err(not_found) };
        if version.row.pruned_seq.is_some() {
            return Err(pruned(&place.path));
        }
        Ok(File { space_id, file_id: version.row.file_id, version })
    }
}

fn pruned(path: &Path) -> Error {
    Error::new(Code::VersionPruned, format!("the content of this version of {:?} was given up", path.as_str()))
}

pub(super) fn file_not_found(space: &SpaceName, path: &Path) -> Error {
    Error::new(Code::FileNotFound, format!("there is no file {:?} in the space {:?}", path.as_str(), space.as_str()))
}

fn blob_ref(blob: &BlobRow) -> BlobRef {
    BlobRef {
        blob_id: blob.blob_id,
        size_bytes: blob.size_bytes,
        sha256: blob.sha256,
        slices_sha256: blob.slices_sha256,
        slice_bytes: blob.slice_bytes,
    }
}

/// The nodes to ask: those that hold the blob; when there are none, those that may, since every byte is verified
/// anyway.
fn holders(replicas: &[Replica], blob: &BlobRow) -> Vec<NodeId> {
    let in_state = |wanted: &[ReplicaState]| -> Vec<NodeId> {
        let matching = replicas.iter().filter(|replica| replica.state.is_some_and(|state| wanted.contains(&state)));
        matching.map(|replica| replica.node.clone()).collect()
    };
    let stored = in_state(&[ReplicaState::Stored]);
    if !stored.is_empty() {
        return stored;
    }
    let mut possible = in_state(&[ReplicaState::Pending, ReplicaState::Parked, ReplicaState::Lost]);
    if !possible.contains(&blob.origin_node) {
        possible.push(blob.origin_node.clone());
    }
    possible
}

// === impl Reading ===

impl Reading {
    /// The next verified bytes, at most `limits.download_chunk_bytes`; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.ready.is_empty() {
            let read = self.read.next().await;
            self.report();
            match read? {
                Some(bytes) => self.ready = bytes,
                None => return Ok(None),
            }
        }
        let take = self.ready.len().min(self.chunk_bytes);
        Ok(Some(self.ready.split_to(take)))
    }
}

#[cfg(test)]
mod tests {
    use proto::{BlobId, Sha256Digest};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn replicas(states: &[(&str, Option<ReplicaState>)]) -> Vec<Replica> {
        let replica = |(node, state): &(&str, Option<ReplicaState>)| Replica {
            node: node.parse().unwrap(),
            state: *state,
            seq: 1,
            attempts: 0,
            reason: None,
        };
        states.iter().map(replica).collect()
    }

    fn asked(states: &[(&str, Option<ReplicaState>)]) -> Vec<String> {
        let blob = BlobRow {
            blob_id: BlobId::new(Uuid::from_u128(1)),
            size_bytes: 1,
            sha256: Sha256Digest::of(b"a"),
            slices_sha256: None,
            slice_bytes: None,
            origin_node: "c".parse().unwrap(),
            first_seq: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            space_id: proto::SpaceId::new(Uuid::from_u128(9)),
            refs: 1,
            state: catalog::BlobState::Live,
            state_seq: 1,
            unreferenced_at: None,
        };
        holders(&replicas(states), &blob).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nodes_that_hold_the_bytes_are_asked() {
        let states =
            [("a", Some(ReplicaState::Stored)), ("b", Some(ReplicaState::Pending)), ("c", Some(ReplicaState::Stored))];
        assert_eq!(asked(&states), ["a", "c"]);
    }

    #[test]
    fn when_none_holds_them_those_that_may_are_asked() {
        assert_eq!(asked(&[("a", Some(ReplicaState::Lost)), ("b", None)]), ["a", "c"]);
        assert_eq!(asked(&[("c", Some(ReplicaState::Pending))]), ["c"]);
    }
}
