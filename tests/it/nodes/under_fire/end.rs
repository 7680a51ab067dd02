//! What is left at the end: by the catalog, and on the nodes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use proto::{BlobId, Event, Fact, Sha256Digest};
use sqlx::{AssertSqlSafe, PgPool};
use tests::Cluster;
use uuid::Uuid;

use crate::s3;

/// The catalog's blobs, and who names them.
#[derive(Debug)]
pub struct End {
    blobs: BTreeMap<BlobId, Blob>,
    /// The blobs of the versions that are not pruned, wherever these are.
    named: Vec<(BlobId, Whose)>,
    /// Which node has which blob, with nothing left to be done.
    stored: BTreeSet<(String, BlobId)>,
    /// What was applied.
    applied: Vec<Fact>,
}

#[derive(Debug)]
struct Blob {
    state: String,
    sha256: Sha256Digest,
    refs: i64,
}

/// Where a version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Current,
    Old,
    Trash,
}

// === impl End ===

impl End {
    pub async fn read(cluster: &Cluster) -> anyhow::Result<Self> {
        let pool = PgPool::connect(&cluster.stack.database_url()?).await?;
        let generation: i32 = sqlx::query_scalar("SELECT generation FROM highwater.active").fetch_one(&pool).await?;
        let of = |text: &str| AssertSqlSafe(text.replace("$G", &format!("highwater_g{generation}")));
        let query = of("SELECT blob_id, state, sha256, refs FROM $G.blobs");
        let rows: Vec<(Uuid, String, Vec<u8>, i64)> = sqlx::query_as(query).fetch_all(&pool).await?;
        let mut blobs = BTreeMap::new();
        for (blob_id, state, sha256, refs) in rows {
            let sha256 = Sha256Digest::try_from(&sha256[..])?;
            blobs.insert(BlobId::new(blob_id), Blob { state, sha256, refs });
        }
        let query = of("SELECT v.blob_id, f.version_id = v.version_id, f.deleted_seq IS NOT NULL
             FROM $G.versions AS v JOIN $G.files AS f USING (file_id)
             WHERE v.blob_id IS NOT NULL AND v.pruned_seq IS NULL");
        let rows: Vec<(Uuid, bool, bool)> = sqlx::query_as(query).fetch_all(&pool).await?;
        let whose = |is_current, is_deleted| match (is_current, is_deleted) {
            (_, true) => Whose::Trash,
            (true, false) => Whose::Current,
            (false, false) => Whose::Old,
        };
        let named = rows.into_iter().map(|(id, current, deleted)| (BlobId::new(id), whose(current, deleted))).collect();
        let query = of("SELECT node, blob_id FROM $G.replicas WHERE state = 'stored'");
        let rows: Vec<(String, Uuid)> = sqlx::query_as(query).fetch_all(&pool).await?;
        let stored = rows.into_iter().map(|(node, blob_id)| (node, BlobId::new(blob_id))).collect();
        let query = of("SELECT raw FROM $G.events WHERE outcome = 'applied' ORDER BY seq");
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(query).fetch_all(&pool).await?;
        pool.close().await;
        let applied = rows.iter().map(|raw| Ok(Event::decode(raw)?.fact)).collect::<anyhow::Result<_>>()?;
        Ok(Self { blobs, named, stored, applied })
    }

    /// Blobs on their way to being erased, or about to be.
    pub fn open(&self) -> usize {
        let is_open = |blob: &&Blob| match blob.state.as_str() {
            "live" => blob.refs == 0,
            state => state != "erased",
        };
        self.blobs.values().filter(is_open).count()
    }

    pub fn erased(&self) -> Vec<BlobId> {
        self.blobs.iter().filter(|(_, blob)| blob.state == "erased").map(|(id, _)| *id).collect()
    }

    /// Uploads that needed no bytes, and versions that were restored.
    pub fn instant_and_restored(&self) -> (usize, usize) {
        let count = |is: fn(&Fact) -> bool| self.applied.iter().filter(|fact| is(fact)).count();
        let is_instant = |fact: &Fact| matches!(fact, Fact::FileUploaded(uploaded) if uploaded.instant);
        (count(is_instant), count(|fact| matches!(fact, Fact::VersionRestored(_))))
    }

    /// Every version that is not pruned, in the trash or not, current or not, has its bytes on every node; and no node has
    /// anything else.
    pub async fn is_on_the_nodes(&self, cluster: &Cluster) -> anyhow::Result<()> {
        for whose in [Whose::Current, Whose::Old, Whose::Trash] {
            ensure!(self.named.iter().any(|(_, one)| *one == whose), "there is no version to look at: {whose:?}");
        }
        for (blob_id, whose) in &self.named {
            let blob = self.blobs.get(blob_id).with_context(|| format!("{blob_id} is named and not known"))?;
            ensure!(blob.state == "live", "{blob_id} is named ({whose:?}) and {}", blob.state);
            for node in cluster.stack.nodes() {
                ensure!(self.stored.contains(&(node.id.clone(), *blob_id)), "{} lacks {blob_id}", node.id);
            }
        }
        for (node, blob_id) in &self.stored {
            let (client, bucket) = s3::client(cluster, node);
            let object = client.get_object().bucket(bucket).key(blob_id.key()).send().await;
            let bytes = object.with_context(|| format!("{blob_id} on {node}"))?.body.collect().await?.into_bytes();
            let sha256 = self.blobs.get(blob_id).context("it is not known")?.sha256;
            ensure!(Sha256Digest::of(&bytes) == sha256, "{blob_id} on {node} has other bytes");
        }
        let mut found = BTreeSet::new();
        for node in cluster.stack.nodes() {
            for key in s3::keys(cluster, &node.id, "blobs/").await? {
                // A process that is killed while it tries a node may leave this one object in a folder.
                if key.ends_with("/highwater-probe") {
                    continue;
                }
                let id = key.rsplit('/').next().context("no key")?;
                found.insert((node.id.clone(), id.parse::<BlobId>().with_context(|| key.clone())?));
            }
        }
        for blob_id in self.erased() {
            let left = found.iter().find(|(_, id)| *id == blob_id);
            ensure!(left.is_none(), "{blob_id} was erased and is there: {left:?}");
        }
        let differing: Vec<_> = found.symmetric_difference(&self.stored).collect();
        ensure!(differing.is_empty(), "only on the nodes, or only in the catalog: {differing:?}");
        Ok(())
    }
}
