//! Loading the rows that events touch: one statement for each table, however many keys.

use std::collections::{BTreeMap, HashMap};

use fold::rows::{BlobRow, FileRow, NameRow, NodeRow, ReceiptRow, ReplicaRow, SpaceRow, Target};
use fold::{Key, View};
use proto::{BlobId, EventId, FileId, FolderId, MarkerId, NodeId, Path, Segment, SpaceId, SpaceName, VersionId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Writer;
use crate::Error;
use crate::records::{BlobColumns, ReceiptColumns, replica_state, unsigned, word};

/// Keys, by table.
#[derive(Default)]
struct Wanted {
    nodes: bool,
    spaces: Vec<SpaceId>,
    space_names: Vec<SpaceName>,
    paths: Vec<(SpaceId, Path)>,
    children: Vec<(FolderId, Segment)>,
    files: Vec<FileId>,
    blobs: Vec<BlobId>,
    replicas: Vec<(BlobId, NodeId)>,
    receipts: Vec<EventId>,
}

impl Writer {
    /// Loads the rows of these keys into the view; what is not there is marked absent. What the view knows already stays.
    pub async fn load(&mut self, keys: &[Key], view: &mut View) -> Result<(), Error> {
        let wanted = Wanted::sort(keys);
        load_all(&mut self.conn, wanted, view).await.map_err(|e| self.fenced(e))
    }
}

impl Wanted {
    fn sort(keys: &[Key]) -> Self {
        let mut wanted = Self::default();
        for key in keys {
            match key {
                Key::Nodes => wanted.nodes = true,
                Key::Space(id) => wanted.spaces.push(*id),
                Key::SpaceName(name) => wanted.space_names.push(name.clone()),
                Key::Path { space_id, path } => wanted.paths.push((*space_id, path.clone())),
                Key::Child { parent, name } => wanted.children.push((*parent, name.clone())),
                Key::File(id) => wanted.files.push(*id),
                Key::Blob(id) => wanted.blobs.push(*id),
                Key::Replica { blob, node } => wanted.replicas.push((*blob, node.clone())),
                Key::Receipt(id) => wanted.receipts.push(*id),
            }
        }
        wanted
    }
}

async fn load_all(conn: &mut PgConnection, wanted: Wanted, view: &mut View) -> Result<(), Error> {
    if wanted.nodes {
        load_nodes(conn, view).await?;
    }
    if !wanted.spaces.is_empty() {
        load_spaces(conn, &wanted.spaces, view).await?;
    }
    if !wanted.space_names.is_empty() {
        load_space_names(conn, wanted.space_names, view).await?;
    }
    if !wanted.paths.is_empty() {
        load_paths(conn, &wanted.paths, view).await?;
    }
    if !wanted.children.is_empty() {
        load_children(conn, wanted.children, view).await?;
    }
    if !wanted.files.is_empty() {
        load_files(conn, &wanted.files, view).await?;
    }
    if !wanted.blobs.is_empty() {
        load_blobs(conn, &wanted.blobs, view).await?;
    }
    if !wanted.replicas.is_empty() {
        load_replicas(conn, wanted.replicas, view).await?;
    }
    if !wanted.receipts.is_empty() {
        load_receipts(conn, &wanted.receipts, view).await?;
    }
    Ok(())
}

async fn load_nodes(conn: &mut PgConnection, view: &mut View) -> Result<(), Error> {
    let rows = sqlx::query!("SELECT node, marker_id, joined_seq FROM nodes").fetch_all(conn).await?;
    let rows: Result<Vec<NodeRow>, Error> = rows
        .into_iter()
        .map(|row| {
            Ok(NodeRow {
                node: word("nodes", "node", &row.node)?,
                marker_id: MarkerId::new(row.marker_id),
                joined_seq: unsigned("nodes", "joined_seq", row.joined_seq)?,
            })
        })
        .collect();
    view.load_nodes(rows?);
    Ok(())
}

fn space_row(space_id: Uuid, name: &str, created_seq: i64) -> Result<SpaceRow, Error> {
    Ok(SpaceRow {
        space_id: SpaceId::new(space_id),
        name: word("spaces", "name", name)?,
        created_seq: unsigned("spaces", "created_seq", created_seq)?,
    })
}

async fn load_spaces(conn: &mut PgConnection, wanted: &[SpaceId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!("SELECT space_id, name, created_seq FROM spaces WHERE space_id = ANY($1)", &ids)
        .fetch_all(conn)
        .await?;
    for row in rows {
        let row = space_row(row.space_id, &row.name, row.created_seq)?;
        view.spaces.load(row.space_id, Some(row));
    }
    for id in wanted {
        view.spaces.load(*id, None);
    }
    Ok(())
}

async fn load_space_names(conn: &mut PgConnection, wanted: Vec<SpaceName>, view: &mut View) -> Result<(), Error> {
    let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!("SELECT space_id, name, created_seq FROM spaces WHERE name = ANY($1)", &names)
        .fetch_all(conn)
        .await?;
    for row in rows {
        let row = space_row(row.space_id, &row.name, row.created_seq)?;
        view.load_space_name(row.name.clone(), Some(row));
    }
    for name in wanted {
        view.load_space_name(name, None);
    }
    Ok(())
}

/// The columns of a current name.
struct NameColumns {
    from_seq: i64,
    target_kind: String,
    target_id: Uuid,
}

fn name_row(parent: FolderId, name: Segment, columns: &NameColumns) -> Result<NameRow, Error> {
    let target = match columns.target_kind.as_str() {
        "folder" => Target::Folder(FolderId::new(columns.target_id)),
        "file" => Target::File(FileId::new(columns.target_id)),
        other => return Err(Error::inconsistent("names", "target_kind", format!("{other:?}"))),
    };
    Ok(NameRow { parent, name, from_seq: unsigned("names", "from_seq", columns.from_seq)?, target })
}

fn file_row(file_id: Uuid, columns: (Uuid, Uuid, i64, i64)) -> Result<FileRow, Error> {
    let (space_id, version_id, created_seq, changed_seq) = columns;
    Ok(FileRow {
        file_id: FileId::new(file_id),
        space_id: SpaceId::new(space_id),
        version_id: VersionId::new(version_id),
        created_seq: unsigned("files", "created_seq", created_seq)?,
        changed_seq: unsigned("files", "changed_seq", changed_seq)?,
    })
}

/// Resolves many paths at once, name by name, down to the first that is not there, with the files at their ends.
async fn load_paths(conn: &mut PgConnection, wanted: &[(SpaceId, Path)], view: &mut View) -> Result<(), Error> {
    let roots: Vec<Uuid> = wanted.iter().map(|(space, _)| space.root().uuid()).collect();
    let paths: Vec<String> = wanted.iter().map(|(_, path)| path.to_string()).collect();
    let rows = sqlx::query!(
        r#"WITH RECURSIVE wanted AS (
               SELECT w.i, w.root, string_to_array(w.path, '/') AS segments
               FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS w (root, path, i)
           ),
           walk AS (
               SELECT w.i, w.segments, 1 AS depth, w.root AS parent_id, n.from_seq, n.target_kind, n.target_id
               FROM wanted AS w
               LEFT JOIN LATERAL (
                   SELECT from_seq, target_kind, target_id FROM names
                   WHERE parent_id = w.root AND name = w.segments[1] AND to_seq IS NULL
                   LIMIT 1
               ) AS n ON true
             UNION ALL
               SELECT k.i, k.segments, k.depth + 1, k.target_id, n.from_seq, n.target_kind, n.target_id
               FROM walk AS k
               LEFT JOIN LATERAL (
                   SELECT from_seq, target_kind, target_id FROM names
                   WHERE parent_id = k.target_id AND name = k.segments[k.depth + 1] AND to_seq IS NULL
                   LIMIT 1
               ) AS n ON true
               WHERE k.target_kind = 'folder' AND k.depth < cardinality(k.segments)
           )
           SELECT k.parent_id AS "parent_id!", k.segments[k.depth] AS "name!", k.from_seq AS "from_seq?",
               k.target_kind AS "target_kind?", k.target_id AS "target_id?",
               f.space_id AS "space_id?", f.version_id AS "version_id?", f.created_seq AS "created_seq?",
               f.changed_seq AS "changed_seq?"
           FROM walk AS k
           LEFT JOIN LATERAL (
               SELECT space_id, version_id, created_seq, changed_seq FROM files
               WHERE k.target_kind = 'file' AND file_id = k.target_id
               LIMIT 1
           ) AS f ON true"#,
        &roots,
        &paths,
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let key = (FolderId::new(row.parent_id), word::<Segment>("names", "name", &row.name)?);
        let (Some(from_seq), Some(target_kind), Some(target_id)) = (row.from_seq, row.target_kind, row.target_id)
        else {
            view.names.load(key, None);
            continue;
        };
        let name = name_row(key.0, key.1.clone(), &NameColumns { from_seq, target_kind, target_id })?;
        if let Target::File(file_id) = name.target {
            let columns = (row.space_id, row.version_id, row.created_seq, row.changed_seq);
            let file = match columns {
                (Some(space), Some(version), Some(created), Some(changed)) => {
                    Some(file_row(target_id, (space, version, created, changed))?)
                }
                _ => None,
            };
            view.files.load(file_id, file);
        }
        view.names.load(key, Some(name));
    }
    Ok(())
}

async fn load_children(
    conn: &mut PgConnection,
    wanted: Vec<(FolderId, Segment)>,
    view: &mut View,
) -> Result<(), Error> {
    let parents: Vec<Uuid> = wanted.iter().map(|(parent, _)| parent.uuid()).collect();
    let names: Vec<String> = wanted.iter().map(|(_, name)| name.to_string()).collect();
    let rows = sqlx::query!(
        r#"SELECT w.i AS "i!", n.from_seq, n.target_kind, n.target_id
           FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS w (parent_id, name, i)
           CROSS JOIN LATERAL (
               SELECT from_seq, target_kind, target_id FROM names
               WHERE parent_id = w.parent_id AND name = w.name AND to_seq IS NULL
               LIMIT 1
           ) AS n"#,
        &parents,
        &names,
    )
    .fetch_all(conn)
    .await?;
    let mut found: HashMap<i64, NameColumns> = rows
        .into_iter()
        .map(|row| {
            (row.i, NameColumns { from_seq: row.from_seq, target_kind: row.target_kind, target_id: row.target_id })
        })
        .collect();
    for (i, key) in (1..).zip(wanted) {
        let row = found.remove(&i).map(|columns| name_row(key.0, key.1.clone(), &columns)).transpose()?;
        view.names.load(key, row);
    }
    Ok(())
}

async fn load_files(conn: &mut PgConnection, wanted: &[FileId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "SELECT file_id, space_id, version_id, created_seq, changed_seq FROM files WHERE file_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = file_row(row.file_id, (row.space_id, row.version_id, row.created_seq, row.changed_seq))?;
        view.files.load(row.file_id, Some(row));
    }
    for id in wanted {
        view.files.load(*id, None);
    }
    Ok(())
}

async fn load_blobs(conn: &mut PgConnection, wanted: &[BlobId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        BlobColumns,
        "SELECT blob_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, created_at
         FROM blobs WHERE blob_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = BlobRow::try_from(row)?;
        view.blobs.load(row.blob_id, Some(row));
    }
    for id in wanted {
        view.blobs.load(*id, None);
    }
    Ok(())
}

async fn load_replicas(conn: &mut PgConnection, wanted: Vec<(BlobId, NodeId)>, view: &mut View) -> Result<(), Error> {
    // By node: few nodes, each with many blobs.
    let mut by_node: BTreeMap<NodeId, Vec<BlobId>> = BTreeMap::new();
    for (blob, node) in wanted {
        by_node.entry(node).or_default().push(blob);
    }
    for (node, blobs) in by_node {
        let ids: Vec<Uuid> = blobs.iter().map(|id| id.uuid()).collect();
        let rows = sqlx::query!(
            "SELECT blob_id, state, seq, fence_seq, attempts, reason
             FROM replicas WHERE blob_id = ANY($1) AND node = $2",
            &ids,
            node.as_str(),
        )
        .fetch_all(&mut *conn)
        .await?;
        for row in rows {
            let blob_id = BlobId::new(row.blob_id);
            let row = ReplicaRow {
                blob_id,
                node: node.clone(),
                state: replica_state(&row.state)?,
                seq: unsigned("replicas", "seq", row.seq)?,
                fence_seq: unsigned("replicas", "fence_seq", row.fence_seq)?,
                attempts: row.attempts.cast_unsigned(),
                reason: row.reason,
            };
            view.replicas.load((blob_id, node.clone()), Some(row));
        }
        for blob in blobs {
            view.replicas.load((blob, node.clone()), None);
        }
    }
    Ok(())
}

async fn load_receipts(conn: &mut PgConnection, wanted: &[EventId], view: &mut View) -> Result<(), Error> {
    let ids: Vec<Uuid> = wanted.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        ReceiptColumns,
        "SELECT event_id, seq, outcome, reason, fingerprint, space, path, file_id, version_id, blob_id
         FROM receipts WHERE event_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    for row in rows {
        let row = ReceiptRow::try_from(row)?;
        view.receipts.load(row.event_id, Some(row));
    }
    for id in wanted {
        view.receipts.load(*id, None);
    }
    Ok(())
}
