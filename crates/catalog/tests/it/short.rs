//! Short words for what the tests of reads do all the time.

use catalog::{Reader, Writer};
use proto::{FileId, FolderId, VersionId};
use time::OffsetDateTime;

use crate::world::{Journal, PATIENCE, fold};

/// The time of the event at this sequence.
pub(crate) fn time_of(n: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + std::time::Duration::from_secs(n)
}

/// How the catalog stands, with estimates that go by all that there is.
pub(crate) async fn status(reader: &Reader) -> Result<catalog::Status, catalog::Error> {
    reader.status(time_of(1_000_000), std::time::Duration::from_secs(1_000_000)).await
}

/// Folds what is new in the journal; the reader has seen it.
pub(crate) async fn catch_up(writer: &mut Writer, reader: &Reader, journal: &Journal) {
    fold(writer, journal, 1000).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
}

impl Journal {
    /// A new file.
    pub(crate) fn file(&mut self, at: &str, size_bytes: u64) -> FileId {
        self.upload(at, size_bytes).0.file_id()
    }

    /// A new version of a file.
    pub(crate) fn version(&mut self, at: &str, size_bytes: u64) -> VersionId {
        self.upload(at, size_bytes).0.version_id()
    }

    /// A new folder.
    pub(crate) fn folder(&mut self, at: &str) -> FolderId {
        let depth = at.split('/').count() - 1;
        self.create_folder(at).folder_id(u32::try_from(depth).unwrap())
    }
}
