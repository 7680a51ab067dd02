//! Fingerprints of requests.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use crate::{Fact, FileUploaded, Invalid, Item, Sha256Digest, SpaceId, VersionId};

/// A digest of everything that a request asks for: an equal one under the same request id is the same request again,
/// another one is a mistake of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(Sha256Digest);

impl Fingerprint {
    /// The fingerprint of a user's change; none for what the programs publish by themselves.
    ///
    /// What the server chose or found does not count (blob, node, whether an upload was instant, the file behind a path,
    /// its current version): a request that is asked again may find another one, and is still the same request.
    pub fn of_fact(fact: &Fact) -> Option<Self> {
        let fields = match fact {
            Fact::FileUploaded(uploaded) => return Some(Self::of_upload(uploaded)),
            Fact::SpaceCreated(created) => vec!["create_space".to_owned(), created.name.to_string()],
            Fact::SpaceRenamed(renamed) => fields("rename_space", renamed.space_id, &[renamed.name.as_str()]),
            Fact::SpaceDeleted(deleted) => fields("delete_space", deleted.space_id, &[flag(deleted.force)]),
            Fact::FolderCreated(created) => fields("create_folder", created.space_id, &[created.path.as_str()]),
            Fact::FolderDeleted(deleted) => {
                fields("delete_folder", deleted.space_id, &[deleted.path.as_str(), flag(deleted.recursive)])
            }
            Fact::FileDeleted(deleted) => {
                fields("delete", deleted.space_id, &[deleted.path.as_str(), &version(deleted.if_version)])
            }
            Fact::FileUndeleted(undeleted) => {
                let (kind, id) = match undeleted.item {
                    Item::File(id) => ("file", id.to_string()),
                    Item::Folder(id) => ("folder", id.to_string()),
                };
                let words = [undeleted.path.as_str(), kind, &id, undeleted.on_conflict.as_str()];
                fields("undelete", undeleted.space_id, &words)
            }
            Fact::FileMoved(moved) => {
                let if_version = version(moved.if_version);
                let words = [moved.from.as_str(), moved.to.as_str(), &if_version, moved.on_conflict.as_str()];
                fields("move", moved.space_id, &words)
            }
            Fact::FileCopied(copied) => {
                let if_version = version(copied.if_version);
                let words = [copied.from.as_str(), copied.to.as_str(), &if_version, copied.on_conflict.as_str()];
                fields("copy", copied.space_id, &words)
            }
            Fact::VersionRestored(restored) => {
                let (wanted, if_version) = (restored.version_id.to_string(), version(restored.if_version));
                fields("restore", restored.space_id, &[restored.path.as_str(), &wanted, &if_version])
            }
            Fact::RetentionSet(set) => {
                fields("retain", set.space_id, &[&number(set.keep_versions), &number(set.keep_days)])
            }
            Fact::NodeJoined(_)
            | Fact::VersionsPruned(_)
            | Fact::BlobCondemned(_)
            | Fact::BlobErasureOrdered(_)
            | Fact::BlobErased(_)
            | Fact::ReplicaStored(_)
            | Fact::ReplicationParked(_)
            | Fact::NodeWiped(_)
            | Fact::NodeRetired(_)
            | Fact::PlacementChanged(_)
            | Fact::ReplicaLost(_)
            | Fact::ReplicationRedriven(_)
            | Fact::JournalRestored(_) => return None,
        };
        Some(Self::of_fields(&fields))
    }

    /// The fingerprint of an upload: where to, which content, under which condition. Its bytes never change: receipts hold
    /// them.
    pub fn of_upload(uploaded: &FileUploaded) -> Self {
        let modified_at = uploaded.modified_at.map(|at| at.unix_timestamp_nanos().to_string()).unwrap_or_default();
        Self::of_fields(&[
            "upload",
            &uploaded.space_id.to_string(),
            uploaded.path.as_str(),
            &uploaded.size_bytes.to_string(),
            &uploaded.sha256.to_string(),
            &uploaded.content_type,
            &modified_at,
            &version(uploaded.if_version),
            uploaded.on_conflict.as_str(),
        ])
    }

    /// The fingerprint of a request that is several changes, such as to undo what somebody did: each of its events carries
    /// it. `words` are all that it asks for.
    pub fn of_series(verb: &str, space_id: SpaceId, words: &[&str]) -> Self {
        Self::of_fields(&fields(verb, space_id, words))
    }

    fn of_fields(fields: &[impl AsRef<[u8]>]) -> Self {
        let mut hash = Sha256::new();
        for field in fields.iter().map(AsRef::as_ref) {
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        Self(Sha256Digest::new(hash.finalize().into()))
    }
}

fn fields(verb: &str, space_id: SpaceId, words: &[&str]) -> Vec<String> {
    let head = [verb.to_owned(), space_id.to_string()];
    head.into_iter().chain(words.iter().map(|&word| word.to_owned())).collect()
}

fn version(id: Option<VersionId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn number(n: Option<u32>) -> String {
    n.map(|n| n.to_string()).unwrap_or_default()
}

const fn flag(set: bool) -> &'static str {
    if set { "yes" } else { "no" }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Fingerprint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self)
    }
}
