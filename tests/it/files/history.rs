//! Versions: listed, read, restored; and the past as it was.

use proto::v1::{self, OnConflict, Outcome, VersionKind};
use tests::{Content, reason_of, run};

#[test]
fn every_version_can_be_read_and_restored_without_its_bytes() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let one = client.put("f", Content::new(1, 10)).await?;
            client.put("f", Content::new(2, 20)).await?;
            let back = client.restore("f", &one.version_id).await?;
            assert_eq!((back.outcome(), back.size_bytes), (Outcome::Applied, 10));
            let versions = client.versions("f").await?;
            let kinds: Vec<VersionKind> = versions.iter().map(v1::Version::kind).collect();
            assert_eq!(kinds, [VersionKind::Restore, VersionKind::Upload, VersionKind::Upload]);
            assert_eq!(versions[0].source_version_id, one.version_id);
            assert_eq!(versions[0].blob_id, versions[2].blob_id);
            assert!(
                versions.iter().all(|v| !v.event_id.is_empty() && !v.sequence.is_empty() && v.created_at.is_some())
            );
            assert_eq!(client.get("f").await?, Content::new(1, 10).bytes());
            let other = client.put("g", Content::new(3, 30)).await?;
            assert_eq!(reason_of(&client.restore("f", &other.version_id).await.unwrap_err()), "version_not_found");
            let stale = v1::RestoreRequest {
                path: "f".to_owned(),
                version_id: one.version_id.clone(),
                if_version: one.version_id,
                ..Default::default()
            };
            let stale = client.files.restore(stale).await?.into_inner().receipt.unwrap();
            assert_eq!((stale.outcome(), stale.reason.as_str()), (Outcome::Rejected, "version_changed"));
            let page = v1::ListVersionsRequest { path: "f".to_owned(), page_size: 2, ..Default::default() };
            let first = client.files.list_versions(page.clone()).await?.into_inner();
            let rest = v1::ListVersionsRequest { page_token: first.next_page_token, ..page };
            let rest = client.files.list_versions(rest).await?.into_inner();
            assert_eq!([first.versions, rest.versions].concat(), versions);
            cluster.verify().await
        },
    );
}

#[test]
fn the_past_is_as_it_was() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let one = client.put("dir/f", Content::new(1, 10)).await?;
            let two = client.put("dir/f", Content::new(2, 20)).await?;
            client.put("dir/g", Content::new(3, 30)).await?;
            let moved = client.mv("dir", "elsewhere", OnConflict::Fail).await?;
            client.delete("elsewhere/f").await?;
            let get = |at: &str, path: &str| v1::DownloadRequest {
                path: path.to_owned(),
                at: at.to_owned(),
                ..Default::default()
            };
            assert_eq!(client.ls_at("", &one.sequence).await?, ["dir/"]);
            assert_eq!(client.ls_at("dir", &one.sequence).await?, ["f"]);
            assert_eq!(client.ls_at("dir", &two.sequence).await?, ["f"]);
            assert_eq!(client.ls_at("", &moved.sequence).await?, ["elsewhere/"]);
            assert_eq!(client.ls_at("elsewhere", &moved.sequence).await?, ["f", "g"]);
            assert_eq!(client.ls("elsewhere").await?, ["g"]);
            let (_, bytes) = client.download(get(&one.sequence, "dir/f")).await?;
            assert_eq!(bytes, Content::new(1, 10).bytes());
            let (_, bytes) = client.download(get(&two.sequence, "dir/f")).await?;
            assert_eq!(bytes, Content::new(2, 20).bytes());
            let (_, bytes) = client.download(get(&moved.sequence, "elsewhere/f")).await?;
            assert_eq!(bytes, Content::new(2, 20).bytes());
            assert_eq!(reason_of(&client.download(get(&moved.sequence, "dir/f")).await.unwrap_err()), "file_not_found");
            // By time: before everything, and now.
            assert_eq!(reason_of(&client.ls_at("dir", "1999-01-01T00:00:00Z").await.unwrap_err()), "folder_not_found");
            assert_eq!(client.ls_at("elsewhere", "2999-01-01T00:00:00Z").await?, ["g"]);
            assert_eq!(reason_of(&client.ls_at("", "yesterday").await.unwrap_err()), "sequence_invalid");
            Ok(())
        },
    );
}
