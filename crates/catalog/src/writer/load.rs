//! Loading the rows that events touch: one statement for each table, however many keys.

mod blobs;
mod inventory;
mod tree;

use std::hash::Hash;
use std::time::Duration;

use fold::rows::{NodeRow, PlacementRow, ReceiptRow};
use fold::{Changes, Key, Table, View};
use proto::{BlobId, EventId, FileId, FolderId, MarkerId, NodeId, Placement, Segment, SpaceId, SpaceName, VersionId};
use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

pub(super) use self::inventory::Inventory;
use super::{bounded, fenced};
use crate::connect::{self, Use};
use crate::records::{ReceiptColumns, unsigned, word};
use crate::{Config, Error, Generation};

/// Keys, by table.
#[derive(Default)]
struct Wanted {
    nodes: bool,
    spaces: Vec<SpaceId>,
    space_names: Vec<SpaceName>,
    /// Each is the names to go down from a folder.
    paths: Vec<(FolderId, Vec<Segment>)>,
    children: Vec<(FolderId, Segment)>,
    folders: Vec<FolderId>,
    files: Vec<FileId>,
    versions: Vec<VersionId>,
    blobs: Vec<BlobId>,
    replicas: Vec<(BlobId, NodeId)>,
    receipts: Vec<EventId>,
}

/// The part of a [`Writer`](super::Writer) that loads, on a connection of its own: rows are looked up while others are saved.
#[derive(Debug)]
pub struct Loader {
    conn: PgConnection,
    generation: Generation,
    /// None when the generation had rows before.
    inventory: Option<Inventory>,
    read_timeout: Duration,
}

impl Loader {
    pub(super) async fn open(
        config: &Config,
        generation: Generation,
        inventory: Option<Inventory>,
    ) -> Result<Self, Error> {
        let conn = connect::dedicated(config, &generation.schema(), Use::Rows).await?;
        Ok(Self { conn, generation, inventory, read_timeout: config.read_timeout })
    }

    /// Loads the rows of these keys into the view; what is not there is marked absent. What the view knows already stays: it
    /// may be newer than what is saved, and so a view must have all that is being saved.
    pub async fn load(&mut self, keys: &[Key], view: &mut View) -> Result<(), Error> {
        let mut wanted = Wanted::sort(keys, view);
        if let Some(inventory) = &self.inventory {
            wanted.settle(inventory, view);
        }
        let limit = self.read_timeout;
        bounded(limit, load_all(&mut self.conn, wanted, view)).await.map_err(|e| fenced(self.generation, e))
    }

    /// Takes in what is about to be saved.
    pub(super) fn note(&mut self, changes: &Changes) {
        if let Some(inventory) = &mut self.inventory {
            inventory.note(changes);
        }
    }

    pub(super) async fn close(self) {
        self.conn.close().await.ok();
    }
}

impl Wanted {
    fn sort(keys: &[Key], view: &View) -> Self {
        let mut wanted = Self::default();
        for key in keys {
            match key {
                Key::Nodes => wanted.nodes = true,
                Key::Space(id) => wanted.spaces.push(*id),
                Key::SpaceName(name) => wanted.space_names.push(name.clone()),
                Key::Path { space_id, path } => wanted.paths.extend(view.unknown_part(*space_id, path)),
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

    /// Takes what cannot be there into the view, as absent; the rest is still wanted.
    fn settle(&mut self, inventory: &Inventory, view: &mut View) {
        self.paths.retain(|(parent, names)| {
            let Some(name) = names.first() else { return false };
            let is_wanted = inventory.may_have_name(*parent, name);
            if !is_wanted {
                view.names.load((*parent, name.clone()), None);
                // A path comes with the folders on its way.
                if !view.folders.knows(parent) {
                    self.folders.push(*parent);
                }
            }
            is_wanted
        });
        self.children.retain(|key| {
            let is_wanted = inventory.may_have_name(key.0, &key.1);
            if !is_wanted {
                view.names.load(key.clone(), None);
            }
            is_wanted
        });
        self.replicas.retain(|key| {
            // A blob that is not known is on no node.
            let is_wanted = inventory.may_have(key.0.uuid());
            if !is_wanted {
                view.replicas.load(key.clone(), None);
            }
            is_wanted
        });
        self.folders.sort_unstable();
        self.folders.dedup();
        retain(&mut self.folders, &mut view.folders, |id| inventory.may_have(id.uuid()));
        retain(&mut self.files, &mut view.files, |id| inventory.may_have(id.uuid()));
        retain(&mut self.versions, &mut view.versions, |id| inventory.may_have(id.uuid()));
        retain(&mut self.blobs, &mut view.blobs, |id| inventory.may_have(id.uuid()));
        retain(&mut self.receipts, &mut view.receipts, |id| inventory.may_have(id.uuid()));
    }
}

/// Keeps the keys that may be there; the others are absent.
fn retain<K: Copy + Eq + Hash, R: Clone>(keys: &mut Vec<K>, table: &mut Table<K, R>, may_have: impl Fn(K) -> bool) {
    keys.retain(|&key| {
        let is_wanted = may_have(key);
        if !is_wanted {
            table.load(key, None);
        }
        is_wanted
    });
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
