//! What these tests ask of a cluster: its journal, its refills, and what is on its nodes.

use anyhow::{Context as _, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream;
use compose::Builder;
use proto::{Actor, Event, EventId, Fact, FileUploaded, MarkerId, RULES, Recorded, Sha256Digest};
use runtime::clock::{Clock, Ids};
use tests::{Cluster, eventually};

use crate::s3;

/// The journal, past everything of ours.
pub struct Log {
    jetstream: jetstream::Context,
    pub ids: Ids,
}

/// A cluster that notices soon what happens to its nodes.
pub fn attentive(builder: Builder) -> Builder {
    ["gateway", "replicator"]
        .into_iter()
        .fold(builder, |b, service| {
            b.env(service, "HIGHWATER_BLOBS__HEALTH_INTERVAL", "200ms")
                .env(service, "HIGHWATER_BLOBS__BREAKER__FIRST_DELAY", "50ms")
                .env(service, "HIGHWATER_BLOBS__BREAKER__MAX_DELAY", "500ms")
                .env(service, "HIGHWATER_NATS__LEASE_TTL", "3s")
        })
        .env("gateway", "HIGHWATER_DUTIES__NODES_INTERVAL", "200ms")
        .env("replicator", "HIGHWATER_REPLICATOR__REFILL_INTERVAL", "200ms")
        .env("replicator", "HIGHWATER_REPLICATOR__REFILL_SAVE_WITHIN", "20ms")
}

impl Log {
    pub async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let client = async_nats::connect(cluster.stack.nats_url()?).await?;
        Ok(Self { jetstream: jetstream::new(client), ids: Ids::system() })
    }

    pub async fn publish(&self, fact: Fact) -> anyhow::Result<u64> {
        let event = Event {
            id: EventId::new(self.ids.v7()),
            source: "/highwater/tests".to_owned(),
            time: Clock::system().now(),
            actor: Actor::system(),
            request_id: None,
            fingerprint: None,
            rules: RULES,
            fact,
        };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", event.id.to_string());
        let sent = self.jetstream.publish_with_headers(event.fact.subject(), headers, event.encode().into()).await?;
        Ok(sent.await?.sequence)
    }

    pub async fn head(&self) -> anyhow::Result<u64> {
        Ok(self.jetstream.get_stream("HIGHWATER").await?.info().await?.state.last_sequence)
    }

    /// All that happened, with the ids of the events.
    pub async fn facts(&self) -> anyhow::Result<Vec<(u64, EventId, Fact)>> {
        let stream = self.jetstream.get_stream("HIGHWATER").await?;
        let mut facts = Vec::new();
        for n in 1..=self.head().await? {
            let message = stream.get_raw_message(n).await?;
            let (subject, payload) = (message.subject.to_string(), message.payload);
            let event = Recorded { n, subject, message_id: String::new(), payload }.decode()?;
            facts.push((n, event.id, event.fact));
        }
        Ok(facts)
    }

    /// Every upload that brought bytes.
    pub async fn uploads(&self) -> anyhow::Result<Vec<(EventId, FileUploaded)>> {
        let facts = self.facts().await?.into_iter();
        let uploads = facts.filter_map(|(_, id, fact)| match fact {
            Fact::FileUploaded(uploaded) if !uploaded.instant => Some((id, uploaded)),
            _ => None,
        });
        Ok(uploads.collect())
    }

    /// The refill of a node, as replicators write it down; null when there is none.
    pub async fn refill(&self, node: &str) -> anyhow::Result<serde_json::Value> {
        self.entry("highwater_refills", node).await
    }

    /// An entry of a key-value bucket; null when there is none.
    pub async fn entry(&self, bucket: &str, key: &str) -> anyhow::Result<serde_json::Value> {
        let entry = self.jetstream.get_key_value(bucket).await?.get(key).await?;
        Ok(entry.map(|entry| serde_json::from_slice(&entry)).transpose()?.unwrap_or_default())
    }

    /// Makes everybody forget the refill of a node.
    pub async fn forget_refill(&self, node: &str) -> anyhow::Result<()> {
        Ok(self.jetstream.get_key_value("highwater_refills").await?.purge(node).await?)
    }

    /// Waits until a node was filled, on the disk that it has now.
    pub async fn filled(&self, cluster: &Cluster, node: &str) -> serde_json::Value {
        eventually(&format!("{node} is filled"), async || {
            let refill = self.refill(node).await?;
            ensure!(refill["done"] == true, "{refill}");
            let marker = marker(cluster, node).await?.to_string();
            ensure!(refill["marker_id"] == *marker, "{refill}, but the marker is {marker}");
            anyhow::Ok(refill)
        })
        .await
    }
}

/// The marker of a node's bucket.
pub async fn marker(cluster: &Cluster, node: &str) -> anyhow::Result<MarkerId> {
    let (client, bucket) = s3::client(cluster, node);
    let marker = client.get_object().bucket(bucket).key("highwater-marker.json").send().await?;
    let marker: serde_json::Value = serde_json::from_slice(&marker.body.collect().await?.into_bytes())?;
    Ok(marker["marker_id"].as_str().context("a marker without id")?.parse()?)
}

/// The node has exactly these blobs, with the right bytes.
pub async fn has_exactly(cluster: &Cluster, node: &str, uploads: &[FileUploaded]) -> anyhow::Result<()> {
    let mut expected: Vec<String> = Vec::new();
    for uploaded in uploads {
        has(cluster, node, uploaded).await?;
        expected.push(uploaded.blob_id.key());
        expected.extend(uploaded.slices_sha256.map(|_| uploaded.blob_id.parts_key()));
    }
    let mut keys = s3::keys(cluster, node, "blobs/").await?;
    keys.sort_unstable();
    expected.sort_unstable();
    ensure!(keys == expected, "{node} has {keys:?} instead of {expected:?}");
    Ok(())
}

/// The node has this blob, with the right bytes.
pub async fn has(cluster: &Cluster, node: &str, uploaded: &FileUploaded) -> anyhow::Result<()> {
    let (client, bucket) = s3::client(cluster, node);
    let objects = [
        Some((uploaded.blob_id.key(), uploaded.sha256)),
        uploaded.slices_sha256.map(|digest| (uploaded.blob_id.parts_key(), digest)),
    ];
    for (key, digest) in objects.into_iter().flatten() {
        let object = client.get_object().bucket(&bucket).key(&key).send().await;
        let bytes = object.with_context(|| format!("{key} on {node}"))?.body.collect().await?.into_bytes();
        ensure!(Sha256Digest::of(&bytes) == digest, "{key} on {node} has other bytes");
    }
    Ok(())
}
