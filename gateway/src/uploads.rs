//! Uploads that can be resumed, as the journal's bucket [`BucketName::Uploads`] keeps them: an upload is the entry
//! `session.<upload id>`, each of its parts the entry `part.<upload id>.<number>`. Both end with the bucket's time limit.

use std::collections::HashSet;

use blobs::UploadState;
use bytes::Bytes;
use journal::{BucketName, Journal};
use proto::{BlobId, EventId, SpaceId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::files::request::NewFile;

/// What the keys of sessions begin with.
const SESSIONS: &str = "session";

/// An upload that can be resumed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    /// How far it is, and where.
    pub(crate) upload: UploadState,
    /// The event that will be published, fixed from the start.
    pub(crate) event_id: EventId,
    /// The space that was resolved at the start.
    pub(crate) space_id: SpaceId,
    /// What was asked for.
    pub(crate) file: NewFile,
    /// When it is given up.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires_at: OffsetDateTime,
}

/// The multipart uploads that belong to sessions. All of them or an error: what is not named is thrown away.
pub(crate) async fn multipart_ids(journal: &Journal) -> Result<HashSet<String>> {
    let sessions = sessions(journal).await?;
    Ok(sessions.into_iter().filter_map(|session| session.upload.multipart_id().map(str::to_owned)).collect())
}

/// The blobs that sessions upload. All of them or an error, as in [`multipart_ids`].
pub(crate) async fn blob_ids(journal: &Journal) -> Result<HashSet<BlobId>> {
    Ok(sessions(journal).await?.into_iter().map(|session| session.upload.blob_id()).collect())
}

async fn sessions(journal: &Journal) -> Result<Vec<Session>> {
    let entries = journal.bucket(BucketName::Uploads).await?.list(SESSIONS).await?;
    let sessions = entries.into_iter().map(|(key, entry)| {
        Session::from_bytes(&entry.value)
            .map_err(|error| Error::internal(format!("the entry {key} cannot be read: {error:#}")))
    });
    sessions.collect()
}

/// The key of a session.
pub(crate) fn session_key(upload_id: Uuid) -> String {
    format!("{SESSIONS}.{upload_id}")
}

/// What the keys of an upload's parts begin with.
pub(crate) fn part_prefix(upload_id: Uuid) -> String {
    format!("part.{upload_id}")
}

/// The key of a part.
pub(crate) fn part_key(upload_id: Uuid, number: u32) -> String {
    format!("{}.{number}", part_prefix(upload_id))
}

// === impl Session ===

impl Session {
    /// As it is kept.
    pub(crate) fn to_bytes(&self) -> Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from).map_err(Error::internal)
    }

    /// As [`Self::to_bytes`] wrote it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(Error::internal)
    }
}
