//! One file, one version, the replicas of one blob.

use fold::rows::{BlobRow, FolderRow, ReplicaState, Target, VersionRow};
use proto::{BlobId, FileId, NodeId, Path, SpaceId, SpaceName, VersionId};

use super::{Answer, Reader, seen};
use crate::Error;
use crate::records::{FolderColumns, content, number, replica_state, target, unsigned, word};

/// What a path stands for.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A file, with the version asked for.
    File(Box<File>),
    /// A folder, as it is now.
    Folder(FolderRow),
    /// A file that has no such version, or none with content.
    NoVersion(FileId),
    /// A file whose version was given up: its content is not kept any more.
    Pruned(FileId),
    /// Nothing; also where a file is deleted.
    NoFile,
    /// No space has this name now.
    NoSpace,
}

/// A file at its path.
#[derive(Debug, Clone)]
pub struct File {
    /// The space.
    pub space_id: SpaceId,
    /// The file.
    pub file_id: FileId,
    /// Its current version, or the one asked for.
    pub version: Version,
}

/// A version that has content, with all that is needed to read it.
#[derive(Debug, Clone)]
pub struct Version {
    /// The version.
    pub row: VersionRow,
    /// Its content.
    pub blob: BlobRow,
    /// The state on every node of the cluster, by node.
    pub replicas: Vec<Replica>,
}

/// The state of a blob on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The node.
    pub node: NodeId,
    /// The state; none when the blob is not placed there.
    pub state: Option<ReplicaState>,
    /// Sequence of the event that made it so; 0 when it is not placed.
    pub seq: u64,
    /// Failed attempts, when parked.
    pub attempts: u32,
    /// Why, when parked or lost.
    pub reason: Option<String>,
}

impl Reader {
    /// The file at a path, with its current version or another one of its versions.
    ///
    /// With `at`, names and versions are taken as they were at that sequence, in the space that has the name now; what is
    /// kept of them, and where, is as it is now. A sequence that the catalog has not come to is the present.
    pub async fn file(
        &self,
        space: &SpaceName,
        path: &Path,
        version_id: Option<VersionId>,
        at: Option<u64>,
    ) -> Result<Lookup, Error> {
        let segments: Vec<String> = path.segments().map(String::from).collect();
        // The present is the latest past: one statement serves both.
        let at = number(at.unwrap_or(u64::MAX));
        if let Some(file) = self.file_there(space, &segments, version_id, at).await? {
            return Ok(Lookup::File(Box::new(file)));
        }
        self.what_is_there(space, &segments, version_id, at).await
    }

    /// A version by its id, also one that was given up; none when there is no such one, or it is a tombstone.
    pub async fn version(&self, version_id: VersionId) -> Result<Option<Version>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation,
                       v.version_id, v.file_id, v.kind, v.source_version, v.seq, v.event_id, v.content_type,
                       v.modified_at, v.created_at, v.actor, v.pruned_seq,
                       b.blob_id, b.space_id AS blob_space_id, b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes,
                       b.origin_node, b.first_seq, b.created_at AS blob_created_at, b.refs, b.state AS blob_state,
                       b.state_seq, b.unreferenced_at,
                       n.node AS "node?", r.state AS "state?", r.seq AS "replica_seq?", r.attempts AS "attempts?",
                       r.reason AS "reason?"
                   FROM highwater.active AS a
                   CROSS JOIN versions AS v
                   JOIN blobs AS b ON b.blob_id = v.blob_id
                   LEFT JOIN nodes AS n ON true
                   LEFT JOIN replicas AS r ON r.blob_id = v.blob_id AND r.node = n.node
                   WHERE a.singleton AND v.version_id = $1
                   ORDER BY n.node"#,
                version_id.uuid()
            )
            .fetch_all(&pool)
            .await?;
            let mut replicas = Vec::with_capacity(rows.len());
            let mut head = None;
            for row in rows {
                let columns = (row.node, row.state, row.replica_seq, row.attempts, row.reason);
                replicas.extend(replica(columns)?);
                head.get_or_insert((seen!(row), content!(row)));
            }
            let Some((seen, (version, blob))) = head else { return Ok(Answer { seen: None, value: None }) };
            let version = Version { row: version.try_into()?, blob: blob.try_into()?, replicas };
            Ok(Answer { seen: Some(seen), value: Some(version) })
        })
        .await
    }

    /// The state of a blob on every node of the cluster, by node.
    pub async fn replicas(&self, blob_id: BlobId) -> Result<Vec<Replica>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation, n.node, r.state AS "state?", r.seq AS "replica_seq?",
                       r.attempts AS "attempts?", r.reason AS "reason?"
                   FROM highwater.active AS a
                   CROSS JOIN nodes AS n
                   LEFT JOIN replicas AS r ON r.blob_id = $1 AND r.node = n.node
                   WHERE a.singleton
                   ORDER BY n.node"#,
                blob_id.uuid()
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let replicas: Result<Vec<_>, Error> = rows
                .into_iter()
                .filter_map(|row| {
                    replica((Some(row.node), row.state, row.replica_seq, row.attempts, row.reason)).transpose()
                })
                .collect();
            Ok(Answer { seen, value: replicas? })
        })
        .await
    }

    /// The path is resolved, segment by segment, in the same statement that reads the file, its version, its blob and its
    /// replicas.
    async fn file_there(
        &self,
        space: &SpaceName,
        segments: &[String],
        version_id: Option<VersionId>,
        at: i64,
    ) -> Result<Option<File>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"WITH RECURSIVE walk AS (
                       SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind, s.space_id
                       FROM spaces AS s WHERE s.name = $1 AND s.deleted_seq IS NULL
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind, w.space_id
                       FROM walk AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind, to_seq FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND from_seq <= $4
                           ORDER BY from_seq DESC LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                           AND (n.to_seq IS NULL OR n.to_seq > $4)
                   )
                   SELECT a.catalog_id, a.generation, w.space_id AS "space_id!",
                       v.version_id, v.file_id, v.kind, v.source_version, v.seq, v.event_id, v.content_type,
                       v.modified_at, v.created_at, v.actor, v.pruned_seq,
                       b.blob_id, b.space_id AS blob_space_id, b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes,
                       b.origin_node, b.first_seq, b.created_at AS blob_created_at, b.refs, b.state AS blob_state,
                       b.state_seq, b.unreferenced_at,
                       n.node AS "node?", r.state AS "state?", r.seq AS "replica_seq?", r.attempts AS "attempts?",
                       r.reason AS "reason?"
                   FROM walk AS w
                   JOIN highwater.active AS a ON a.singleton
                   JOIN versions AS v ON v.version_id = coalesce($3, (
                           SELECT version_id FROM versions
                           WHERE file_id = w.target_id AND seq <= $4
                           ORDER BY seq DESC LIMIT 1
                       ))
                       AND v.file_id = w.target_id AND v.seq <= $4 AND v.pruned_seq IS NULL
                   JOIN blobs AS b ON b.blob_id = v.blob_id
                   LEFT JOIN nodes AS n ON true
                   LEFT JOIN replicas AS r ON r.blob_id = v.blob_id AND r.node = n.node
                   WHERE w.depth = cardinality($2::text[]) AND w.target_kind = 'file'
                   ORDER BY n.node"#,
                space.as_str(),
                segments,
                version_id.map(VersionId::uuid) as Option<uuid::Uuid>,
                at,
            )
            .fetch_all(&pool)
            .await?;
            let mut replicas = Vec::with_capacity(rows.len());
            let mut head = None;
            for row in rows {
                let columns = (row.node, row.state, row.replica_seq, row.attempts, row.reason);
                replicas.extend(replica(columns)?);
                head.get_or_insert((seen!(row), SpaceId::new(row.space_id), content!(row)));
            }
            let Some((seen, space_id, (version, blob))) = head else {
                return Ok(Answer { seen: None, value: None });
            };
            let version = Version { row: version.try_into()?, blob: blob.try_into()?, replicas };
            let file = File { space_id, file_id: version.row.file_id, version };
            Ok(Answer { seen: Some(seen), value: Some(file) })
        })
        .await
    }

    /// Why no file was found, for a clear answer. A file that has come meanwhile is [`Lookup::NoFile`] still: it was not
    /// there when it was looked for.
    async fn what_is_there(
        &self,
        space: &SpaceName,
        segments: &[String],
        version_id: Option<VersionId>,
        at: i64,
    ) -> Result<Lookup, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"WITH RECURSIVE walk AS (
                       SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind
                       FROM spaces AS s WHERE s.name = $1 AND s.deleted_seq IS NULL
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind
                       FROM walk AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind, to_seq FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND from_seq <= $4
                           ORDER BY from_seq DESC LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                           AND (n.to_seq IS NULL OR n.to_seq > $4)
                   )
                   SELECT a.catalog_id, a.generation,
                       EXISTS (SELECT FROM walk WHERE depth = 0) AS "space!",
                       w.target_id AS "target_id?", w.target_kind AS "target_kind?",
                       f.space_id AS "space_id?", f.created_seq AS "created_seq?", f.deleted_seq AS "deleted_seq?",
                       f.entries AS "entries?", v.pruned_seq AS "pruned_seq?"
                   FROM highwater.active AS a
                   LEFT JOIN walk AS w ON w.depth = cardinality($2::text[])
                   LEFT JOIN folders AS f ON f.folder_id = w.target_id AND w.target_kind = 'folder'
                   LEFT JOIN versions AS v ON v.version_id = coalesce($3, (
                           SELECT version_id FROM versions
                           WHERE file_id = w.target_id AND seq <= $4
                           ORDER BY seq DESC LIMIT 1
                       ))
                       AND v.file_id = w.target_id AND v.seq <= $4
                   WHERE a.singleton"#,
                space.as_str(),
                segments,
                version_id.map(VersionId::uuid) as Option<uuid::Uuid>,
                at,
            )
            .fetch_one(&pool)
            .await?;
            let there = match (row.target_kind.as_deref(), row.target_id) {
                (Some(kind), Some(id)) => Some(target(kind, id)?),
                _ => None,
            };
            let value = match there {
                _ if !row.space => Lookup::NoSpace,
                Some(Target::Folder(id)) => {
                    let columns = (row.space_id, row.created_seq, row.entries);
                    let (Some(space_id), Some(created_seq), Some(entries)) = columns else {
                        return Err(Error::inconsistent("folders", "folder_id", format!("{id} has a name but no row")));
                    };
                    let deleted_seq = row.deleted_seq;
                    let folder_id = id.uuid();
                    let row = FolderColumns { folder_id, space_id, created_seq, deleted_seq, entries };
                    Lookup::Folder(row.try_into()?)
                }
                Some(Target::File(id)) if row.pruned_seq.is_some() => Lookup::Pruned(id),
                Some(Target::File(id)) if version_id.is_some() => Lookup::NoVersion(id),
                Some(Target::File(_)) | None => Lookup::NoFile,
            };
            Ok(Answer { seen: Some(seen!(row)), value })
        })
        .await
    }
}

pub(super) type ReplicaColumns = (Option<String>, Option<String>, Option<i64>, Option<i32>, Option<String>);

/// None while the cluster has no node.
pub(super) fn replica((node, state, seq, attempts, reason): ReplicaColumns) -> Result<Option<Replica>, Error> {
    let Some(node) = node else { return Ok(None) };
    Ok(Some(Replica {
        node: word("nodes", "node", &node)?,
        state: state.map(|state| replica_state(&state)).transpose()?,
        seq: unsigned("replicas", "seq", seq.unwrap_or(0))?,
        attempts: attempts.unwrap_or(0).cast_unsigned(),
        reason,
    }))
}
