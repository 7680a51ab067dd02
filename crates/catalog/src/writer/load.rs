//! Loading the rows that events touch: one statement for each table, however many keys.

mod blobs;
mod tree;

use fold::rows::{NodeRow, PlacementRow, ReceiptRow};
use fold::{Key, View};
use proto::{
    BlobId, EventId, FileId, FolderId, MarkerId, NodeId, Path, Placement, Segment, SpaceId, SpaceName, VersionId,
};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Writer, bounded};
use crate::Error;
use crate::records::{ReceiptColumns, unsigned, word};

/// Keys, by table.
#[derive(Default)]
struct Wanted {
    nodes: bool,
    spaces: Vec<SpaceId>,
    space_names: Vec<SpaceName>,
    paths: Vec<(SpaceId, Path)>,
    children: Vec<(FolderId, Segment)>,
    folders: Vec<FolderId>,
    files: Vec<FileId>,
    versions: Vec<VersionId>,
    blobs: Vec<BlobId>,
    replicas: Vec<(BlobId, NodeId)>,
    receipts: Vec<EventId>,
}

impl Writer {
    /// Loads the rows of these keys into the view; what is not there is marked absent. What the view knows already stays.
    pub async fn load(&mut self, keys: &[Key], view: &mut View) -> Result<(), Error> {
        let wanted = Wanted::sort(keys);
        let limit = self.read_timeout;
        bounded(limit, load_all(&mut self.conn, wanted, view)).await.map_err(|e| self.fenced(e))
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
                Key::Folder(id) => wanted.folders.push(*id),
                Key::File(id) => wanted.files.push(*id),
                Key::Version(id) => wanted.versions.push(*id),
                Key::Blob(id) => wanted.blobs.push(*id),
                Key::Replica { blob, node } => wanted.replicas.push((*blob, node.clone())),
                Key::Receipt(id) => wanted.receipts.push(*id),
            }
        }
        wanted
    }
}

/// Tables that lead to keys of others come first: paths go through folders, and versions have blobs.
async fn load_all(conn: &mut PgConnection, mut wanted: Wanted, view: &mut View) -> Result<(), Error> {
    if wanted.nodes {
        load_nodes(conn, view).await?;
    }
    if !wanted.spaces.is_empty() {
        tree::load_spaces(conn, &wanted.spaces, view).await?;
    }
    if !wanted.space_names.is_empty() {
        tree::load_space_names(conn, wanted.space_names, view).await?;
    }
    if !wanted.paths.is_empty() {
        wanted.folders.extend(tree::load_paths(conn, &wanted.paths, view).await?);
    }
    if !wanted.children.is_empty() {
        tree::load_children(conn, wanted.children, view).await?;
    }
    if !wanted.folders.is_empty() {
        tree::load_folders(conn, &wanted.folders, view).await?;
    }
    if !wanted.files.is_empty() {
        tree::load_files(conn, &wanted.files, view).await?;
    }
    if !wanted.versions.is_empty() {
        wanted.blobs.extend(blobs::load_versions(conn, &wanted.versions, view).await?);
    }
    if !wanted.blobs.is_empty() {
        blobs::load_blobs(conn, &wanted.blobs, view).await?;
    }
    if !wanted.replicas.is_empty() {
        blobs::load_replicas(conn, wanted.replicas, view).await?;
    }
    if !wanted.receipts.is_empty() {
        load_receipts(conn, &wanted.receipts, view).await?;
    }
    Ok(())
}

async fn load_nodes(conn: &mut PgConnection, view: &mut View) -> Result<(), Error> {
    let placement = sqlx::query!(r#"SELECT seq, rules AS "rules: Json<Placement>" FROM placement WHERE singleton"#)
        .fetch_optional(&mut *conn)
        .await?;
    let placement = placement
        .map(|row| Ok::<_, Error>(PlacementRow { seq: unsigned("placement", "seq", row.seq)?, placement: row.rules.0 }))
        .transpose()?;
    let rows = sqlx::query!("SELECT node, marker_id, joined_seq, marker_seq FROM nodes").fetch_all(conn).await?;
    let rows: Result<Vec<NodeRow>, Error> = rows
        .into_iter()
        .map(|row| {
            Ok(NodeRow {
                node: word("nodes", "node", &row.node)?,
                marker_id: MarkerId::new(row.marker_id),
                joined_seq: unsigned("nodes", "joined_seq", row.joined_seq)?,
                marker_seq: unsigned("nodes", "marker_seq", row.marker_seq)?,
            })
        })
        .collect();
    view.load_nodes(rows?, placement.unwrap_or_default());
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
