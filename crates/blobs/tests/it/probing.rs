use std::collections::HashSet;
use std::time::Duration;

use blobs::probe;
use bytes::Bytes;
use http::Method;

use crate::cluster::{Cluster, FIRST, config, content};
use crate::on_each_server;
use crate::proxy::Break;

on_each_server! {
    the_matrix_says_what_the_server_can
    a_listing_comes_page_by_page
    what_a_crashed_process_left_is_swept
    all_work_can_be_spawned
}

async fn the_matrix_says_what_the_server_can(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let rows = probe::matrix(&nodes.all()[0]).await;
    for row in &rows {
        println!("{:<26} {:<5} {}", row.name, row.ok, row.detail);
        assert!(row.ok || row.optional, "{row:?}");
    }
    let failed: Vec<&str> = rows.iter().filter(|row| !row.ok).map(|row| row.name).collect();
    if cluster.is_minio {
        assert_eq!(failed, [""; 0]);
    } else {
        // s3s-fs takes any part, and keeps an object whose checksum it has just found to be wrong.
        let expected = [
            "list multipart uploads",
            "wrong sha256 of an object",
            "wrong crc32c of an object",
            "wrong sha256 of a part",
            "wrong crc32c of a part",
        ];
        assert_eq!(failed, expected);
    }
    assert_eq!(nodes.all()[0].list("highwater-probe/", None, 10).await.unwrap().objects, vec![]);
    cluster.proxies[1].down();
    assert!(probe::matrix(&nodes.all()[1]).await.iter().all(|row| !row.ok));
}

async fn a_listing_comes_page_by_page(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let node = &nodes.all()[0];
    for n in 0..5 {
        node.put(&format!("list/{n}"), Bytes::from_static(b"12345")).await.unwrap();
    }
    let (mut keys, mut from) = (Vec::new(), None);
    loop {
        let page = node.list("list/", from, 2).await.unwrap();
        assert!(page.objects.len() <= 2 && page.objects.iter().all(|object| object.size_bytes == 5));
        keys.extend(page.objects.into_iter().map(|object| object.key));
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(keys, ["list/0", "list/1", "list/2", "list/3", "list/4"]);
}

async fn what_a_crashed_process_left_is_swept(cluster: Cluster) {
    let nodes = cluster.nodes_with(config()).await;
    let mut upload = nodes.begin_upload(cluster.blob(), cluster.meta());
    upload.write(content(9 * 1024 * 1024).into()).await.unwrap();
    drop(upload);
    // A probe that is killed before it has taken away anything that it wrote.
    cluster.proxies[0].rule(|seen| (seen.method == Method::DELETE).then_some(Break::Answer(404, "NoSuchUpload")));
    probe::matrix(&nodes.all()[0]).await;
    cluster.proxies[0].heal();
    let (content, blob) = (content(10), cluster.blob());
    let state = nodes.start_resumable(blob, cluster.meta(), 10, None).await.unwrap();
    let live = HashSet::from([state.multipart_id().unwrap().to_owned()]);
    assert_eq!(nodes.sweep(Duration::from_hours(1), &live).await, 0, "it is too young");
    // An upload, two of the probe, and its two objects; s3s-fs does not list uploads, but keeps two objects with wrong checksums.
    let left = if cluster.is_minio { 5 } else { 4 };
    let mut swept = 0;
    for _ in 0..300 {
        swept += nodes.sweep(Duration::ZERO, &live).await;
        if swept >= left {
            break;
        }
        // The server's clock has no fractions of a second, so that what is old may seem to begin later than now.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(swept, left);
    assert_eq!(nodes.all()[0].list("highwater-probe/", None, 10).await.unwrap().objects, vec![]);
    assert_eq!(nodes.sweep(Duration::ZERO, &live).await, 0);
    let mut upload = nodes.resume(state, 0).await.unwrap();
    upload.write(content.into()).await.unwrap();
    upload.settle().await.unwrap();
    let progress = upload.progress().await.unwrap();
    nodes.finish_resumable(&progress.state, &progress.parts).await.unwrap();
    assert_eq!(nodes.sweep(Duration::ZERO, &HashSet::new()).await, 0);
}

/// Services run uploads, reads and copies on tasks of their own.
async fn all_work_can_be_spawned(cluster: Cluster) {
    let nodes = cluster.nodes().await;
    let (blob, meta, written) = cluster.upload(&nodes, &content(9 * 1024 * 1024)).await;
    let mut tasks = tokio::task::JoinSet::new();
    let new = cluster.blob();
    {
        let nodes = nodes.clone();
        tasks.spawn(async move {
            let mut upload = nodes.begin_upload(new, meta);
            upload.write(content(9 * 1024 * 1024).into()).await.unwrap();
            upload.finish().await.unwrap();
        });
    }
    {
        let nodes = nodes.clone();
        let holders = vec![written.node.clone()];
        tasks.spawn(async move {
            let mut read = nodes.read(blob, &holders, 0, u64::MAX);
            while read.next().await.unwrap().is_some() {}
        });
    }
    {
        let (nodes, resumed) = (nodes.clone(), cluster.blob());
        tasks.spawn(async move {
            let state = nodes.start_resumable(resumed, meta, 10, None).await.unwrap();
            let mut upload = nodes.resume(state, 0).await.unwrap();
            upload.write(content(10).into()).await.unwrap();
            upload.settle().await.unwrap();
            let progress = upload.progress().await.unwrap();
            nodes.finish_resumable(&progress.state, &progress.parts).await.unwrap();
            nodes.abort_resumable(&progress.state).await.unwrap();
        });
    }
    let target = nodes.all().iter().find(|node| *node.id() != written.node).unwrap().id().clone();
    tasks.spawn(async move {
        blobs::copy(&nodes, &blob, &meta, &[written.node], &target, FIRST).await.unwrap();
        nodes.all()[0].erase(blob.blob_id).await.unwrap();
        nodes.sweep(Duration::from_hours(1), &HashSet::new()).await;
        probe::matrix(&nodes.all()[0]).await;
    });
    tasks.join_all().await;
}
