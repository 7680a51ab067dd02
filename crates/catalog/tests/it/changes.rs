//! A journal by hand: changes of spaces, folders and files, retention, erasure.

use proto::{
    BlobCondemned, BlobErased, BlobErasureOrdered, BlobId, ErasedBlob, EventId, Fact, FileCopied, FileDeleted, FileId,
    FileMoved, FileUndeleted, FileUploaded, FolderCreated, FolderDeleted, FolderId, Item, OnConflict, PruneReason,
    PrunedVersion, RetentionSet, SpaceCreated, SpaceDeleted, SpaceId, SpaceName, SpaceRenamed, Trash, VersionId,
    VersionRestored, VersionsPruned,
};

use crate::disks::disks;
use crate::world::{Journal, main_space, marker, node, path};

pub(crate) fn space_name(name: &str) -> SpaceName {
    name.parse().expect("tests write names of spaces right")
}

impl Journal {
    /// A space besides `main`.
    pub(crate) fn create_space(&mut self, name: &str) -> SpaceId {
        let event = self.publish(Fact::SpaceCreated(SpaceCreated { name: space_name(name) }));
        SpaceId::new(event.derive(0))
    }

    pub(crate) fn rename_space(&mut self, space_id: SpaceId, from: &str, to: &str) -> EventId {
        let (space, name) = (space_name(from), space_name(to));
        self.publish(Fact::SpaceRenamed(SpaceRenamed { space_id, space, name }))
    }

    pub(crate) fn delete_space(&mut self, space_id: SpaceId, name: &str) -> EventId {
        self.publish(Fact::SpaceDeleted(SpaceDeleted {
            space_id,
            space: space_name(name),
            force: true,
            keep_days: None,
        }))
    }

    pub(crate) fn create_folder(&mut self, at: &str) -> EventId {
        let (space_id, space) = (self.space(), main_space());
        self.publish(Fact::FolderCreated(FolderCreated { space_id, space, path: path(at) }))
    }

    pub(crate) fn delete_folder(&mut self, at: &str, folder_id: FolderId, recursive: bool) -> EventId {
        let (space_id, space) = (self.space(), main_space());
        self.publish(Fact::FolderDeleted(FolderDeleted { space_id, space, path: path(at), folder_id, recursive }))
    }

    pub(crate) fn delete(&mut self, at: &str, file_id: FileId) -> EventId {
        let (space_id, space) = (self.space(), main_space());
        self.publish(Fact::FileDeleted(FileDeleted { space_id, space, path: path(at), file_id, if_version: None }))
    }

    pub(crate) fn undelete(&mut self, to: &str, item: Item) -> EventId {
        self.publish(Fact::FileUndeleted(FileUndeleted {
            space_id: self.space(),
            space: main_space(),
            path: path(to),
            item,
            version_id: None,
            on_conflict: OnConflict::Fail,
        }))
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str, item: Item) -> EventId {
        self.publish(Fact::FileMoved(FileMoved {
            space_id: self.space(),
            space: main_space(),
            from: path(from),
            to: path(to),
            item,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
        }))
    }

    pub(crate) fn copy(&mut self, from: &str, to: &str, file_id: FileId, version_id: VersionId) -> EventId {
        self.publish(Fact::FileCopied(FileCopied {
            space_id: self.space(),
            space: main_space(),
            from: path(from),
            to: path(to),
            file_id,
            version_id,
            if_version: None,
            on_conflict: OnConflict::Overwrite,
        }))
    }

    pub(crate) fn restore(&mut self, at: &str, file_id: FileId, version_id: VersionId) -> EventId {
        self.publish(Fact::VersionRestored(VersionRestored {
            space_id: self.space(),
            space: main_space(),
            path: path(at),
            file_id,
            version_id,
            if_version: None,
        }))
    }

    /// The bytes of an upload once more, to another path, without sending them.
    pub(crate) fn upload_again(&mut self, uploaded: &FileUploaded, to: &str) -> EventId {
        self.publish(Fact::FileUploaded(FileUploaded { path: path(to), instant: true, ..uploaded.clone() }))
    }

    pub(crate) fn retain(&mut self, keep_versions: Option<u32>, keep_days: Option<u32>) -> EventId {
        let (space_id, space) = (self.space(), main_space());
        self.publish(Fact::RetentionSet(RetentionSet { space_id, space, keep_versions, keep_days }))
    }

    /// Judged as everything stands now.
    pub(crate) fn prune(&mut self, file_id: FileId, version_id: VersionId, trash: Option<Trash>) -> EventId {
        let because = if trash.is_some() { PruneReason::Trash } else { PruneReason::Versions };
        self.publish(Fact::VersionsPruned(VersionsPruned {
            space_id: self.space(),
            space: main_space(),
            evaluated_at: self.n(),
            versions: vec![PrunedVersion { version_id, file_id, because, trash }],
        }))
    }

    pub(crate) fn condemn(&mut self, blob_ids: &[BlobId]) -> EventId {
        self.publish(Fact::BlobCondemned(BlobCondemned { blob_ids: blob_ids.to_vec(), orphans: Vec::new() }))
    }

    pub(crate) fn order_erasure(&mut self, blob_ids: &[BlobId]) -> EventId {
        self.publish(Fact::BlobErasureOrdered(BlobErasureOrdered { blob_ids: blob_ids.to_vec() }))
    }

    /// What the order at `cause` asked for is done on this node.
    pub(crate) fn erased(&mut self, on: &str, blobs: &[BlobId], cause: u64) -> EventId {
        let blobs = blobs.iter().map(|&blob_id| ErasedBlob { blob_id, cause }).collect();
        self.publish(Fact::BlobErased(BlobErased { node: node(on), marker_id: marker(on), blobs }))
    }

    /// The fact of the last event.
    pub(crate) fn last_upload(&self) -> FileUploaded {
        match self.events.last().map(|recorded| recorded.decode().expect("it was published here").fact) {
            Some(Fact::FileUploaded(uploaded)) => uploaded,
            other => panic!("not an upload: {other:?}"),
        }
    }
}

/// A journal with every kind of event, and every change of a row that there is.
pub(crate) fn everything() -> Journal {
    let mut journal = Journal::begun(1);
    files(&mut journal);
    folders(&mut journal);
    erasure(&mut journal);
    spaces(&mut journal);
    disks(&mut journal);
    journal
}

fn files(journal: &mut Journal) {
    let (a, blob) = journal.upload("docs/a.txt", 10);
    let first = journal.last_upload();
    journal.upload("docs/deep/er/b.bin", 20 * 1024 * 1024);
    let (b, _) = journal.upload("docs/b.txt", 20);
    journal.upload("docs/a.txt", 11);
    journal.repeat();
    journal.upload_as("docs/a.txt", 12, OnConflict::Fail);
    journal.upload_as("docs/a.txt", 13, OnConflict::KeepBoth);
    // A folder stands there, then a file stands in the way.
    journal.upload("docs/deep", 14);
    journal.upload("docs/a.txt/below", 15);
    journal.garbage();
    journal.stored("node-b", &[blob]);
    journal.stored("node-nowhere", &[blob]);
    journal.parked("node-c", blob, "bad \0 bytes");
    let file = Item::File(a.file_id());
    // A name that is closed, opened for another file, and closed and opened again by a move onto that one.
    journal.rename("docs/a.txt", "moved/a.txt", file);
    let (other, _) = journal.upload("docs/a.txt", 16);
    journal.rename("moved/a.txt", "docs/a.txt", file);
    journal.rename("moved/a.txt", "docs/elsewhere", file);
    journal.undelete("docs/other.txt", Item::File(other.file_id()));
    journal.copy("docs/a.txt", "copies/a.txt", a.file_id(), a.version_id());
    journal.copy("docs/a.txt", "docs/b.txt", a.file_id(), a.version_id());
    journal.restore("docs/a.txt", a.file_id(), a.version_id());
    journal.upload_again(&first, "again.txt");
    journal.upload_again(&FileUploaded { size_bytes: 999, ..first }, "not again.txt");
    journal.delete("docs/b.txt", b.file_id());
    journal.delete("docs/b.txt", b.file_id());
    journal.undelete("docs/b2.txt", Item::File(b.file_id()));
    journal.delete("docs/b2.txt", b.file_id());
}

fn folders(journal: &mut Journal) {
    let made = journal.create_folder("tree/sub");
    let (tree, sub) = (made.folder_id(0), made.folder_id(1));
    journal.create_folder("tree/sub");
    let (leaf, _) = journal.upload("tree/sub/leaf", 30);
    journal.delete_folder("tree", tree, false);
    journal.delete_folder("tree", tree, true);
    // The same names again, then the old folder beside them.
    journal.upload("tree/sub/leaf", 31);
    journal.undelete("tree/old", Item::Folder(tree));
    journal.rename("tree/old", "tree/old/sub/into itself", Item::Folder(tree));
    journal.rename("tree/old", "far/away", Item::Folder(tree));
    journal.delete("far/away/sub/leaf", leaf.file_id());
    journal.delete_folder("far/away/sub", sub, false);
}

fn erasure(journal: &mut Journal) {
    let (old, first) = journal.upload("old.txt", 40);
    let (newer, _) = journal.upload("old.txt", 41);
    journal.retain(Some(1), Some(30));
    journal.prune(old.file_id(), old.version_id(), None);
    journal.prune(old.file_id(), newer.version_id(), None);
    let (in_trash, second) = journal.upload("trash.txt", 42);
    let (kept, third) = journal.upload("kept.txt", 43);
    journal.delete("trash.txt", in_trash.file_id());
    journal.prune(in_trash.file_id(), in_trash.version_id(), Some(Trash::File(in_trash.file_id())));
    journal.condemn(&[third]);
    let (_, fourth) = journal.upload_as("kept.txt", 44, OnConflict::Fail);
    journal.condemn(&[first, second, third, fourth]);
    journal.restore("kept.txt", kept.file_id(), kept.version_id());
    // A node that joins gets what is live, and nothing else.
    journal.join("node-d");
    journal.order_erasure(&[first, third]);
    let ordered = journal.n();
    journal.stored("node-c", &[first]);
    for name in ["node-a", "node-b", "node-c"] {
        journal.erased(name, &[first], ordered);
    }
    journal.order_erasure(&[second]);
    journal.erased("node-b", &[second], journal.n());
    journal.retain(None, None);
    journal.join("node-d");
    journal.upload("later.txt", 44);
}

fn spaces(journal: &mut Journal) {
    let second = journal.create_space("second");
    journal.rename_space(second, "second", "third");
    journal.create_space("second");
    journal.create_space("third");
    journal.rename_space(second, "third", "second");
    journal.delete_space(second, "third");
    journal.create_space("third");
    // Acknowledged, and its space is gone: it is recovered, with another blob than the upload before.
    let (event, _) = journal.upload("later.txt", 45);
    let blob_id = BlobId::new(event.derive(99));
    let uploaded = FileUploaded { space_id: second, blob_id, ..journal.last_upload() };
    journal.publish(Fact::FileUploaded(uploaded));
}
