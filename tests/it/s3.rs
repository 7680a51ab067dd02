//! Looking at a node directly, past everything of ours.

use std::fs;

use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region, RequestChecksumCalculation};
use aws_sdk_s3::types::MultipartUpload;
use compose::NodeKind;
use tests::{Cluster, node_kind};

pub fn client(cluster: &Cluster, node: &str) -> (aws_sdk_s3::Client, String) {
    let entry = cluster.stack.nodes().iter().find(|entry| entry.id == node).expect("a node of the cluster");
    let secret = fs::read_to_string(&entry.secret_key_file).unwrap();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(entry.region.clone()))
        .endpoint_url(&entry.endpoint)
        .force_path_style(true)
        .credentials_provider(Credentials::new(&entry.access_key, secret.trim(), None, None, "tests"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .build();
    (aws_sdk_s3::Client::from_conf(config), entry.bucket.clone())
}

/// What a program writes beside a blob to see whether the node takes objects, and deletes again: a line that is cut in
/// between leaves it there, always at the same few keys (crates/blobs/src/blame.rs).
const TRIAL: &str = "/highwater-probe";

/// The keys below `prefix` on a node, without trials.
pub async fn keys(cluster: &Cluster, node: &str, prefix: &str) -> anyhow::Result<Vec<String>> {
    let (client, bucket) = client(cluster, node);
    let mut keys = Vec::new();
    let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
    while let Some(page) = pages.next().await {
        keys.extend(page?.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    keys.retain(|key| !key.ends_with(TRIAL));
    Ok(keys)
}

/// The blobs on all nodes, as `<node>/<key>`.
pub async fn blobs(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for node in cluster.stack.nodes() {
        all.extend(keys(cluster, &node.id, "blobs/").await?.into_iter().map(|key| format!("{}/{key}", node.id)));
    }
    Ok(all)
}

/// Multipart uploads of blobs that were begun and neither completed nor aborted. On the embedded node, every file of an upload
/// counts, listed or not. Those of a probe that was cut off are the sweep's (crates/blobs/src/sweep.rs).
pub async fn unfinished(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for node in cluster.stack.nodes() {
        let (client, bucket) = client(cluster, &node.id);
        // MinIO lists the uploads of one whole key, or all of them.
        let listed = client.list_multipart_uploads().bucket(bucket).send().await?;
        let is_blob = |upload: &&MultipartUpload| upload.key().is_some_and(|key| key.starts_with("blobs/"));
        let (blobs, probes): (Vec<_>, Vec<_>) = listed.uploads().iter().partition(is_blob);
        if node_kind() == NodeKind::Minio {
            all.extend(blobs.iter().filter_map(|upload| Some(format!("{}/{}", node.id, upload.key()?))));
        } else {
            let folder = cluster.stack.data_of(&node.id).expect("a node has data");
            let of_probe =
                |path: &str| probes.iter().filter_map(|upload| upload.upload_id()).any(|id| path.contains(id));
            all.extend(files(&folder).into_iter().filter(|path| path.contains("upload") && !of_probe(path)));
        }
    }
    Ok(all)
}

fn files(folder: &std::path::Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path.display().to_string());
        }
    }
    all
}
