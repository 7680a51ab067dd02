//! A journal that grows event by event, with what is folded of it so far: given a world, when a fact comes, then this.

use fold::rows::{Outcome, ReceiptRow, Target};
use proto::{
    BlobCondemned, BlobErased, BlobErasureOrdered, BlobId, ErasedBlob, EventId, Fact, FileCopied, FileDeleted, FileId,
    FileMoved, FileUndeleted, FileUploaded, FolderCreated, FolderDeleted, FolderId, Item, MarkerId, OnConflict,
    PruneReason, PrunedVersion, ReplicaLost, ReplicaStored, ReplicationRedriven, RetentionSet, Sha256Digest,
    SpaceCreated, SpaceDeleted, SpaceId, SpaceName, SpaceRenamed, StoredReplica, Trash, VersionId, VersionRestored,
    VersionsPruned, WantedCopy,
};

use crate::journal::{Journal, blob_id, event_id, main_space, marker};
use crate::store::Store;

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) journal: Journal,
    pub(crate) store: Store,
}

/// What became of the last event.
#[derive(Debug)]
pub(crate) struct Then<'a> {
    pub(crate) id: EventId,
    pub(crate) receipt: &'a ReceiptRow,
    /// What was there before, but for the event and its receipt.
    rows_changed: bool,
}

impl World {
    /// Three nodes and the space `main`: sequences 1 to 4.
    pub(crate) fn new() -> Self {
        let mut world = Self { journal: Journal::new(), store: Store::default() };
        for recorded in &world.journal.0 {
            world.store.fold_one(recorded);
        }
        world
    }

    /// With these files, uploaded in this order by the events 1, 2 and so on.
    pub(crate) fn with(paths: &[&str]) -> Self {
        let mut world = Self::new();
        for path in paths {
            let upload = world.upload(path);
            world.when(Fact::FileUploaded(upload)).applied();
        }
        world
    }

    /// The next event, with an id of its own.
    pub(crate) fn when(&mut self, fact: Fact) -> Then<'_> {
        let id = event_id(0x1000 + self.journal.0.len() as u128);
        self.add(id, fact)
    }

    pub(crate) fn add(&mut self, id: EventId, fact: Fact) -> Then<'_> {
        let before = self.store.rows();
        self.journal.add(id, fact);
        self.store.fold_one(self.journal.0.last().unwrap());
        let rows_changed = before != self.store.rows();
        Then { id, receipt: self.store.receipt(id), rows_changed }
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.journal.0.len() as u64
    }

    // What paths name now.

    pub(crate) fn item(&self, path: &str) -> Item {
        self.store.item(main_space(), path).unwrap_or_else(|| panic!("nothing is at {path}"))
    }

    pub(crate) fn file(&self, path: &str) -> FileId {
        let Target::File(id) = self.item(path) else { panic!("{path} is a folder") };
        id
    }

    pub(crate) fn folder(&self, path: &str) -> FolderId {
        let Target::Folder(id) = self.item(path) else { panic!("{path} is a file") };
        id
    }

    pub(crate) fn version(&self, path: &str) -> VersionId {
        self.store.files[&self.file(path)].version_id
    }

    pub(crate) fn blob(&self, path: &str) -> BlobId {
        self.store.versions[&self.version(path)].blob_id.unwrap()
    }

    pub(crate) fn entries(&self, path: &str) -> u64 {
        let folder = if path.is_empty() { main_space().root() } else { self.folder(path) };
        self.store.folders[&folder].entries
    }

    /// The current paths of all files and folders in `main`, sorted; folders end in a slash.
    pub(crate) fn tree(&self) -> Vec<String> {
        self.store.tree(main_space().root(), "")
    }

    // Facts as a gateway makes them now, to be changed by the test.

    pub(crate) fn upload(&self, path: &str) -> FileUploaded {
        let n = self.journal.0.len() as u128 + 1;
        FileUploaded {
            space_id: main_space(),
            space: SpaceName::main(),
            path: path.parse().unwrap(),
            blob_id: blob_id(n),
            size_bytes: 5,
            sha256: Sha256Digest::of(&n.to_be_bytes()),
            slices_sha256: None,
            slice_bytes: None,
            content_type: format!("type/{n}"),
            modified_at: None,
            node: "node-a".parse().unwrap(),
            marker_id: marker("node-a"),
            targets: None,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
            instant: false,
        }
    }

    pub(crate) fn delete(&self, path: &str) -> FileDeleted {
        let (space_id, space, file_id) = (main_space(), SpaceName::main(), self.file(path));
        FileDeleted { space_id, space, path: path.parse().unwrap(), file_id, if_version: None }
    }

    pub(crate) fn delete_folder(&self, path: &str) -> FolderDeleted {
        let (space_id, space, folder_id) = (main_space(), SpaceName::main(), self.folder(path));
        FolderDeleted { space_id, space, path: path.parse().unwrap(), folder_id, recursive: true }
    }

    pub(crate) fn move_to(&self, from: &str, to: &str) -> FileMoved {
        FileMoved {
            space_id: main_space(),
            space: SpaceName::main(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            item: self.item(from),
            if_version: None,
            on_conflict: OnConflict::Fail,
        }
    }

    pub(crate) fn copy_to(&self, from: &str, to: &str) -> FileCopied {
        FileCopied {
            space_id: main_space(),
            space: SpaceName::main(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            file_id: self.file(from),
            version_id: self.version(from),
            if_version: None,
            on_conflict: OnConflict::Fail,
        }
    }

    pub(crate) fn restore(&self, path: &str, version_id: VersionId) -> VersionRestored {
        let (space_id, space, file_id) = (main_space(), SpaceName::main(), self.file(path));
        VersionRestored { space_id, space, path: path.parse().unwrap(), file_id, version_id, if_version: None }
    }

    pub(crate) fn file_deleted(&mut self, path: &str) -> Item {
        let (item, fact) = (self.item(path), self.delete(path));
        self.when(Fact::FileDeleted(fact)).applied();
        item
    }

    pub(crate) fn folder_deleted(&mut self, path: &str) -> Item {
        let (item, fact) = (self.item(path), self.delete_folder(path));
        self.when(Fact::FolderDeleted(fact)).applied();
        item
    }

    pub(crate) fn uploaded(&mut self, path: &str) -> FileUploaded {
        let fact = self.upload(path);
        self.when(Fact::FileUploaded(fact.clone())).applied();
        fact
    }

    /// Copies of these blobs, as the first node has them; none of what is not known.
    pub(crate) fn wanted(&self, blobs: &[BlobId]) -> Vec<WantedCopy> {
        let known = blobs.iter().filter_map(|blob_id| self.store.blobs.get(blob_id));
        let wanted = known.map(|row| WantedCopy {
            blob_id: row.blob_id,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            slices_sha256: row.slices_sha256,
            slice_bytes: row.slice_bytes,
            space_id: row.space_id,
            event_id: event_id(row.first_seq.into()),
            source: "node-a".parse().unwrap(),
        });
        wanted.collect()
    }

    /// The node, with the disk that it joined with, lacks these.
    pub(crate) fn lost(&self, node: &str, blobs: &[BlobId], evaluated_at: u64) -> ReplicaLost {
        let (node, marker_id, reason) = (node.parse().unwrap(), marker(node), "it is not there".to_owned());
        ReplicaLost { node, marker_id, evaluated_at, reason, replicas: self.wanted(blobs) }
    }

    pub(crate) fn redriven(&self, node: &str, blobs: &[BlobId]) -> Fact {
        let node = node.parse().unwrap();
        Fact::ReplicationRedriven(ReplicationRedriven { node, replicas: self.wanted(blobs) })
    }

    /// All that is not current of these versions goes, as of now.
    pub(crate) fn prune(&self, versions: &[(VersionId, FileId, Option<Trash>)]) -> VersionsPruned {
        let one = |&(version_id, file_id, trash): &(VersionId, FileId, Option<Trash>)| {
            let because = if trash.is_some() { PruneReason::Trash } else { PruneReason::Age };
            PrunedVersion { version_id, file_id, because, trash }
        };
        VersionsPruned {
            space_id: main_space(),
            space: SpaceName::main(),
            evaluated_at: self.last_seq(),
            versions: versions.iter().map(one).collect(),
        }
    }
}

// Facts that need to know nothing.

pub(crate) fn instant(path: &str, of: &FileUploaded) -> FileUploaded {
    FileUploaded { path: path.parse().unwrap(), instant: true, ..of.clone() }
}

pub(crate) fn undelete(item: Item, path: &str) -> FileUndeleted {
    FileUndeleted {
        space_id: main_space(),
        space: SpaceName::main(),
        path: path.parse().unwrap(),
        item,
        version_id: None,
        on_conflict: OnConflict::Fail,
    }
}

pub(crate) fn create_folder(path: &str) -> Fact {
    let (space_id, space) = (main_space(), SpaceName::main());
    Fact::FolderCreated(FolderCreated { space_id, space, path: path.parse().unwrap() })
}

pub(crate) fn create_space(name: &str) -> Fact {
    Fact::SpaceCreated(SpaceCreated { name: name.parse().unwrap() })
}

pub(crate) fn rename_space(space_id: SpaceId, name: &str) -> Fact {
    Fact::SpaceRenamed(SpaceRenamed { space_id, space: SpaceName::main(), name: name.parse().unwrap() })
}

pub(crate) fn delete_space(space_id: SpaceId, force: bool) -> Fact {
    Fact::SpaceDeleted(SpaceDeleted { space_id, space: SpaceName::main(), force, keep_days: None })
}

pub(crate) fn retain(keep_versions: Option<u32>, keep_days: Option<u32>) -> Fact {
    let (space_id, space) = (main_space(), SpaceName::main());
    Fact::RetentionSet(RetentionSet { space_id, space, keep_versions, keep_days })
}

pub(crate) fn stored(node: &str, marker_id: MarkerId, blob_id: BlobId, cause: u64) -> Fact {
    let replicas = vec![StoredReplica { blob_id, cause }];
    Fact::ReplicaStored(ReplicaStored { node: node.parse().unwrap(), marker_id, replicas })
}

pub(crate) fn condemn(blobs: &[BlobId]) -> Fact {
    Fact::BlobCondemned(BlobCondemned { blob_ids: blobs.to_vec(), orphans: Vec::new() })
}

pub(crate) fn order(blobs: &[BlobId]) -> Fact {
    Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: blobs.to_vec() })
}

pub(crate) fn erased(node: &str, blobs: &[BlobId], cause: u64) -> Fact {
    let blobs = blobs.iter().map(|&blob_id| ErasedBlob { blob_id, cause }).collect();
    Fact::BlobErased(BlobErased { node: node.parse().unwrap(), marker_id: marker(node), blobs })
}

// === impl Then ===

impl Then<'_> {
    #[track_caller]
    pub(crate) fn applied(&self) {
        assert_eq!((self.receipt.outcome, self.receipt.reason.as_deref()), (Outcome::Applied, None));
    }

    /// Rejected for this reason, with nothing changed.
    #[track_caller]
    pub(crate) fn rejected(&self, reason: &str) {
        assert_eq!((self.receipt.outcome, self.receipt.reason.as_deref()), (Outcome::Rejected, Some(reason)));
        assert!(!self.rows_changed, "a rejected event changes nothing");
        assert_eq!((&self.receipt.space, &self.receipt.path, &self.receipt.version_id), (&None, &None, &None));
    }

    /// Rejected for this reason, though the blob that it brought has an owner now.
    #[track_caller]
    pub(crate) fn rejected_upload(&self, reason: &str) {
        assert_eq!((self.receipt.outcome, self.receipt.reason.as_deref()), (Outcome::Rejected, Some(reason)));
    }

    /// It took effect at this other path.
    #[track_caller]
    pub(crate) fn copied(&self, reason: &str, path: &str) {
        assert_eq!((self.receipt.outcome, self.receipt.reason.as_deref()), (Outcome::ConflictedCopy, Some(reason)));
        assert_eq!(self.receipt.path.as_ref().unwrap().as_str(), path);
    }
}
