//! Copies over what may be right or wrong, and nodes that fail at one key.

use super::*;

on_each_server! {
    a_copy_over_right_bytes_keeps_them_whatever_the_sources_have
    slice_digests_that_are_lost_come_back_without_the_object
    a_key_at_which_a_target_fails_is_a_fault_of_the_blob_in_the_end
    a_key_that_a_source_never_gives_is_a_fault_of_the_blob_in_the_end
}

async fn a_copy_over_right_bytes_keeps_them_whatever_the_sources_have(cluster: Cluster) {
    for len in [4096, SLICE + 1, LARGE] {
        let uploaded = Uploaded::new(&cluster, len).await;
        let (source, target) = (&uploaded.source, &uploaded.others[0]);
        uploaded.copy(FIRST).await.unwrap();
        spoil(&uploaded, source).await;
        for options in [OVER, OVER_AGAIN, AGAIN] {
            assert!(uploaded.copy(options).await.unwrap().already_there);
        }
        // Also where the target is not asked first, or cannot show what it has.
        let has_wrong_parts = len > SLICE;
        if !has_wrong_parts && cluster.is_minio {
            uploaded.copy(FIRST).await.unwrap_err();
        }
        cluster.proxy(target).rule(|seen| seen.is(&Method::HEAD, "blobs/").then_some(Break::Answer(500, "Trouble")));
        uploaded.copy(OVER).await.unwrap_err();
        cluster.proxy(target).heal();
        uploaded.assert_on(target).await;
    }
}

async fn slice_digests_that_are_lost_come_back_without_the_object(cluster: Cluster) {
    let uploaded = Uploaded::new(&cluster, SLICE + 1).await;
    let (source, target) = (&uploaded.source, &uploaded.others[0]);
    let (key, parts) = (uploaded.blob.blob_id.key(), uploaded.blob.blob_id.parts_key());
    uploaded.copy(FIRST).await.unwrap();
    let node = uploaded.nodes.get(target).unwrap();
    for is_there in [false, true] {
        if is_there {
            node.put(&parts, Bytes::from_static(b"other digests")).await.unwrap();
        } else {
            node.delete(&parts).await.unwrap();
        }
        // No source has right bytes, nor digests.
        spoil(&uploaded, source).await;
        cluster.proxy(target).take_seen();
        assert!(!uploaded.copy(OVER).await.unwrap().already_there);
        let written = cluster.proxy(target).take_seen();
        assert!(!written.iter().any(|seen| seen.method == Method::PUT && seen.target.ends_with(&key)));
        uploaded.assert_on(target).await;
    }
}

async fn a_key_at_which_a_target_fails_is_a_fault_of_the_blob_in_the_end(cluster: Cluster) {
    for fault in [Break::Answer(500, "InternalError"), Break::Cut] {
        let uploaded = Uploaded::new(&cluster, 5000).await;
        let (key, target) = (uploaded.blob.blob_id.key(), &uploaded.others[0]);
        cluster.proxy(target).rule(move |seen| seen.is(&Method::PUT, &key).then_some(fault));
        for _ in 0..2 {
            assert!(matches!(uploaded.copy(FIRST).await.unwrap_err(), CopyError::Node { .. }), "{fault:?}");
        }
        for _ in 0..2 {
            let error = uploaded.copy(FIRST).await.unwrap_err();
            assert!(matches!(&error, CopyError::Blob { reason } if reason.contains("serves others")), "{error}");
        }
        assert!(uploaded.nodes.get(target).unwrap().state().is_healthy());
        // A node that fails at all is at fault itself, however often.
        cluster.proxy(target).rule(move |seen| seen.is(&Method::PUT, "blobs/").then_some(fault));
        for _ in 0..4 {
            assert!(matches!(uploaded.copy(AGAIN).await.unwrap_err(), CopyError::Node { .. }), "{fault:?}");
        }
        cluster.proxy(target).heal();
        uploaded.copy(AGAIN).await.unwrap();
    }
}

async fn a_key_that_a_source_never_gives_is_a_fault_of_the_blob_in_the_end(cluster: Cluster) {
    for fault in [Break::Answer(500, "InternalError"), Break::Answer(403, "AccessDenied"), Break::Cut] {
        let uploaded = Uploaded::new(&cluster, 5000).await;
        let key = uploaded.blob.blob_id.key();
        cluster.proxy(&uploaded.source).rule(move |seen| seen.is(&Method::GET, &key).then_some(fault));
        for _ in 0..2 {
            assert!(matches!(uploaded.copy(FIRST).await.unwrap_err(), CopyError::Node { .. }), "{fault:?}");
        }
        let error = uploaded.copy(FIRST).await.unwrap_err();
        assert!(matches!(&error, CopyError::Blob { reason } if reason.contains("gives others")), "{error}");
        assert!(uploaded.nodes.get(&uploaded.source).unwrap().state().is_healthy());
        cluster.proxy(&uploaded.source).heal();
        uploaded.copy(FIRST).await.unwrap();
    }
}
