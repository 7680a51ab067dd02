//! What is deleted can come back, until it is pruned.

use proto::v1::{self, EntryKind, OnConflict, Outcome, VersionKind};
use tests::{Content, reason_of, run};

#[test]
fn a_deleted_file_is_in_the_trash_and_comes_back_with_its_history() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let one = client.put("dir/f", Content::new(1, 10)).await?;
            client.put("dir/f", Content::new(2, 20)).await?;
            let deleted = client.delete("dir/f").await?;
            assert_eq!(deleted.outcome(), Outcome::Applied);
            assert_eq!(reason_of(&client.get("dir/f").await.unwrap_err()), "file_not_found");
            assert_eq!(reason_of(&client.delete("dir/f").await.unwrap_err()), "file_not_found");
            let trash = client.trash().await?;
            assert_eq!((trash.len(), trash[0].path.as_str(), trash[0].kind()), (1, "dir/f", EntryKind::File));
            assert_eq!((trash[0].size_bytes, &trash[0].sequence), (20, &deleted.sequence));
            let back = client.undelete_file(&one.file_id).await?;
            assert_eq!((back.outcome(), back.path.as_str(), &back.file_id), (Outcome::Applied, "dir/f", &one.file_id));
            assert_eq!(client.get("dir/f").await?, Content::new(2, 20).bytes());
            let kinds: Vec<_> = client.versions("dir/f").await?.iter().map(v1::Version::kind).collect();
            let expected = [VersionKind::Undelete, VersionKind::Tombstone, VersionKind::Upload, VersionKind::Upload];
            assert_eq!(kinds, expected);
            assert_eq!(reason_of(&client.undelete_file(&one.file_id).await.unwrap_err()), "trash_not_found");
            assert!(client.trash().await?.is_empty());
            cluster.verify().await
        },
    );
}

#[test]
fn a_path_that_is_taken_meanwhile_needs_an_answer() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let old = client.put("f", Content::new(1, 10)).await?;
            client.delete("f").await?;
            client.put("f", Content::new(2, 20)).await?;
            let taken = client.undelete_file(&old.file_id).await?;
            assert_eq!((taken.outcome(), taken.reason.as_str()), (Outcome::Rejected, "file_exists"));
            let both = v1::UndeleteRequest {
                file_id: old.file_id.clone(),
                on_conflict: OnConflict::KeepBoth.into(),
                ..Default::default()
            };
            let both = client.undelete(both).await?;
            assert_eq!(both.outcome(), Outcome::ConflictedCopy);
            assert_eq!(client.get(&both.path).await?, Content::new(1, 10).bytes());
            assert_eq!(client.get("f").await?, Content::new(2, 20).bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn a_folder_goes_and_comes_back_as_a_whole() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a/b/c", Content::new(1, 10)).await?;
            client.put("a/d", Content::new(2, 20)).await?;
            client.delete_tree("a").await?;
            let trash = client.trash().await?;
            assert_eq!((trash.len(), trash[0].path.as_str(), trash[0].kind()), (1, "a", EntryKind::Folder));
            // The name is free for another one.
            client.put("a/new", Content::new(3, 30)).await?;
            let back = v1::UndeleteRequest {
                folder_id: trash[0].folder_id.clone(),
                path: "restored".to_owned(),
                ..Default::default()
            };
            assert_eq!(client.undelete(back).await?.outcome(), Outcome::Applied);
            assert_eq!(client.ls("restored").await?, ["b/", "d"]);
            assert_eq!(client.get("restored/b/c").await?, Content::new(1, 10).bytes());
            assert_eq!(client.ls("a").await?, ["new"]);
            cluster.verify().await
        },
    );
}

#[test]
fn a_version_of_a_file_in_the_trash_is_read_where_the_file_was() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let old = client.put("dir/f", Content::new(1, 10)).await?;
            let new = client.put("dir/f", Content::new(2, 20)).await?;
            let inside = client.put("gone/sub/g", Content::new(3, 30)).await?;
            client.put("kept", Content::new(4, 40)).await?;
            client.delete("dir/f").await?;
            let folder = v1::DeleteRequest { path: "gone".to_owned(), recursive: true, ..Default::default() };
            client.delete_if(folder).await?;
            let read = |path: &str, version: &v1::Receipt| v1::DownloadRequest {
                path: path.to_owned(),
                version_id: version.version_id.clone(),
                ..Default::default()
            };
            for (path, version, content) in [
                ("dir/f", &old, Content::new(1, 10)),
                ("dir/f", &new, Content::new(2, 20)),
                ("gone/sub/g", &inside, Content::new(3, 30)),
            ] {
                assert_eq!(client.download(read(path, version)).await?.1, content.bytes(), "{path}");
                let request = v1::GetFileRequest {
                    path: path.to_owned(),
                    version_id: version.version_id.clone(),
                    ..Default::default()
                };
                let file = client.files.get_file(request).await?.into_inner().file.unwrap_or_default();
                assert_eq!((file.file_id, file.replicas.len()), (version.file_id.clone(), 3));
            }
            let output = cluster.highwater(&["get", "dir/f", "-", "--version-id", &old.version_id]).await?;
            assert_eq!(output.stdout, Content::new(1, 10).bytes());
            // Also where another file is by now; but only where it was, and only by its version.
            client.put("dir/f", Content::new(5, 50)).await?;
            assert_eq!(client.download(read("dir/f", &old)).await?.1, Content::new(1, 10).bytes());
            for (path, version, reason) in [
                ("kept", &old, "version_not_found"),
                ("nowhere", &old, "file_not_found"),
                ("gone/sub", &inside, "file_not_found"),
            ] {
                assert_eq!(reason_of(&client.download(read(path, version)).await.unwrap_err()), reason, "{path}");
            }
            assert_eq!(reason_of(&client.get("gone/sub/g").await.unwrap_err()), "file_not_found");
            // What was pruned is gone.
            let retention = Some(v1::Retention { keep_versions: Some(1), keep_days: None });
            client.files.set_retention(v1::SetRetentionRequest { retention, ..Default::default() }).await?;
            client.files.prune(v1::PruneRequest::default()).await?;
            assert_eq!(reason_of(&client.download(read("dir/f", &old)).await.unwrap_err()), "version_pruned");
            cluster.verify().await
        },
    );
}
