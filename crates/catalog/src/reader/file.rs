//! One file, one version, the replicas of one blob.

use fold::rows::{BlobRow, ReplicaState, VersionRow};
use proto::{BlobId, FileId, FolderId, NodeId, Path, SpaceId, SpaceName, VersionId};

use super::{Answer, Reader, seen};
use crate::Error;
use crate::records::{content, replica_state, unsigned, word};

/// What a path stands for.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A file, with the version asked for.
    File(Box<File>),
    /// A folder.
    Folder(FolderId),
    /// A file that has no such version.
    NoVersion(FileId),
    /// Nothing.
    NoFile,
    /// There is no such space.
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

/// A version with all that is needed to read it.
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
    pub async fn file(&self, space: &SpaceName, path: &Path, version_id: Option<VersionId>) -> Result<Lookup, Error> {
        let segments: Vec<String> = path.segments().map(String::from).collect();
        if let Some(file) = self.file_there(space, &segments, version_id).await? {
            return Ok(Lookup::File(Box::new(file)));
        }
        self.what_is_there(space, &segments, version_id).await
    }

    /// A version by its id; none when there is no such one.
    pub async fn version(&self, version_id: VersionId) -> Result<Option<Version>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"SELECT a.catalog_id, a.generation,
                       v.version_id, v.file_id, v.blob_id, v.seq, v.event_id, v.content_type, v.modified_at,
                       v.created_at, v.actor,
                       b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes, b.origin_node, b.first_seq,
                       b.created_at AS blob_created_at,
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
    ) -> Result<Option<File>, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query!(
                r#"WITH RECURSIVE walk AS (
                       SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind, s.space_id
                       FROM spaces AS s WHERE s.name = $1
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind, w.space_id
                       FROM walk AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND to_seq IS NULL
                           LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                   )
                   SELECT a.catalog_id, a.generation, w.space_id AS "space_id!",
                       v.version_id, v.file_id, v.blob_id, v.seq, v.event_id, v.content_type, v.modified_at,
                       v.created_at, v.actor,
                       b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes, b.origin_node, b.first_seq,
                       b.created_at AS blob_created_at,
                       n.node AS "node?", r.state AS "state?", r.seq AS "replica_seq?", r.attempts AS "attempts?",
                       r.reason AS "reason?"
                   FROM walk AS w
                   JOIN highwater.active AS a ON a.singleton
                   JOIN files AS f ON f.file_id = w.target_id
                   JOIN versions AS v ON v.version_id = coalesce($3, f.version_id) AND v.file_id = f.file_id
                   JOIN blobs AS b ON b.blob_id = v.blob_id
                   LEFT JOIN nodes AS n ON true
                   LEFT JOIN replicas AS r ON r.blob_id = v.blob_id AND r.node = n.node
                   WHERE w.depth = cardinality($2::text[]) AND w.target_kind = 'file'
                   ORDER BY n.node"#,
                space.as_str(),
                segments,
                version_id.map(VersionId::uuid) as Option<uuid::Uuid>,
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
    ) -> Result<Lookup, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"WITH RECURSIVE walk AS (
                       SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind
                       FROM spaces AS s WHERE s.name = $1
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind
                       FROM walk AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND to_seq IS NULL
                           LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                   )
                   SELECT a.catalog_id, a.generation,
                       EXISTS (SELECT FROM walk WHERE depth = 0) AS "space!",
                       w.target_id AS "target_id?", w.target_kind AS "target_kind?"
                   FROM highwater.active AS a
                   LEFT JOIN walk AS w ON w.depth = cardinality($2::text[])
                   WHERE a.singleton"#,
                space.as_str(),
                segments,
            )
            .fetch_one(&pool)
            .await?;
            let value = match (row.target_id, row.target_kind.as_deref()) {
                _ if !row.space => Lookup::NoSpace,
                (Some(id), Some("folder")) => Lookup::Folder(FolderId::new(id)),
                (Some(id), Some(_)) if version_id.is_some() => Lookup::NoVersion(FileId::new(id)),
                _ => Lookup::NoFile,
            };
            Ok(Answer { seen: Some(seen!(row)), value })
        })
        .await
    }
}

type ReplicaColumns = (Option<String>, Option<String>, Option<i64>, Option<i32>, Option<String>);

/// None while the cluster has no node.
fn replica((node, state, seq, attempts, reason): ReplicaColumns) -> Result<Option<Replica>, Error> {
    let Some(node) = node else { return Ok(None) };
    Ok(Some(Replica {
        node: word("nodes", "node", &node)?,
        state: state.map(|state| replica_state(&state)).transpose()?,
        seq: unsigned("replicas", "seq", seq.unwrap_or(0))?,
        attempts: attempts.unwrap_or(0).cast_unsigned(),
        reason,
    }))
}
