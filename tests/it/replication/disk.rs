//! What happens to a node's disk behind its back is found by an audit and repaired: files that a power cut took (MinIO
//! syncs the data of an object, but not the folder that names it), and bits that are others than those that were written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use proto::BlobId;
use proto::v1::AuditKind;
use tests::{Content, run};

use super::audit::{Found, audit, finds, read};
use super::world::attentive;

/// One in MinIO's own file about an object, and one in a file of its own.
const SIZES: [u64; 2] = [5000, 1_000_000];

/// The files below `folder` whose path names the blob.
fn files_of(folder: &Path, blob: BlobId, all: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            files_of(&path, blob, all)?;
        } else if path.to_string_lossy().contains(&blob.to_string()) {
            all.push(path);
        }
    }
    Ok(())
}

/// Nothing of the blob is on the disk any more.
fn take(disk: &Path, blob: BlobId) -> anyhow::Result<()> {
    let mut files = Vec::new();
    files_of(disk, blob, &mut files)?;
    ensure!(!files.is_empty(), "{blob} is not on the disk");
    for file in &files {
        fs::remove_file(file)?;
    }
    // MinIO has a folder for each object.
    for folder in files.iter().filter_map(|file| file.parent()) {
        if folder.ends_with(blob.to_string()) && folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    Ok(())
}

/// One bit in the last quarter of the largest file of the blob, which is what it holds.
fn rot(disk: &Path, blob: BlobId) -> anyhow::Result<()> {
    let mut files = Vec::new();
    files_of(disk, blob, &mut files)?;
    let sized = files.into_iter().map(|file| Ok((fs::metadata(&file)?.len(), file)));
    let (_, file) = sized.collect::<anyhow::Result<Vec<_>>>()?.into_iter().max().context("not on the disk")?;
    let mut bytes = fs::read(&file)?;
    let place = bytes.len() - bytes.len() / 4;
    bytes[place] ^= 1;
    Ok(fs::write(file, bytes)?)
}

#[test]
fn what_a_power_cut_took_and_rotten_bits_are_found_and_repaired() {
    run(attentive, async |cluster| {
        let mut client = cluster.client().await?;
        let mut blobs = Vec::new();
        for (n, size) in (0..).zip(SIZES.into_iter().chain(SIZES).chain(SIZES)) {
            let content = Content::new(n, size);
            blobs.push((client.put(&format!("{n}"), content).await?.blob_id.parse::<BlobId>()?, content));
        }
        cluster.settle().await;
        let disk = cluster.stack.data_of("node-b").context("it has no disk")?;
        cluster.stack.kill("node-b").await?;
        let (taken, rest) = blobs.split_at(SIZES.len());
        let (rotten, _) = rest.split_at(SIZES.len());
        for (blob, _) in taken {
            take(&disk, *blob)?;
        }
        for (blob, _) in rotten {
            rot(&disk, *blob)?;
        }
        cluster.stack.start("node-b").await?;

        let with = |kind, blobs: &[(BlobId, Content)]| -> Found {
            blobs.iter().map(|(blob, _)| (kind, "node-b".to_owned(), blob.key())).collect()
        };
        let expected = &with(AuditKind::Missing, taken) | &with(AuditKind::Corrupt, rotten);
        finds(cluster, true, &expected).await;
        // Who reads meanwhile has the bytes from another node.
        for (n, (_, content)) in blobs.iter().enumerate() {
            assert_eq!(client.get(&format!("{n}")).await?, content.bytes());
        }
        let repaired = audit(&mut client, true, true).await?.found();
        ensure!(repaired.is_subset(&expected), "a read may have had some repaired, and nothing else: {repaired:?}");
        finds(cluster, true, &Found::new()).await;
        cluster.settle().await;
        for (blob, content) in &blobs {
            ensure!(read(cluster, "node-b", &blob.key()).await? == content.bytes(), "{blob} has other bytes");
        }
        cluster.verify().await
    });
}
