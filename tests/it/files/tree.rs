//! Folders, and files and folders that are moved, copied and deleted.

use proto::v1::{self, EntryKind, OnConflict, Outcome};
use tests::{Content, reason_of, run};
use tonic::Code;

use OnConflict::{Fail, KeepBoth, Overwrite};

#[test]
fn folders_are_made_listed_counted_and_deleted() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let made = client.mkdir("photos/2026").await?;
            assert_eq!((made.outcome(), made.path.as_str()), (Outcome::Applied, "photos/2026"));
            client.put("photos/2026/a.jpg", Content::new(1, 100)).await?;
            client.put("photos/b.jpg", Content::new(2, 200)).await?;
            client.put("photos.txt", Content::new(3, 3)).await?;
            // A folder sorts as if its name ended in a slash, which comes after the dot.
            assert_eq!(client.ls("").await?, ["photos.txt", "photos/"]);
            assert_eq!(client.ls("photos").await?, ["2026/", "b.jpg"]);
            cluster.settle().await;
            let entries = client.entries("photos", "", 1).await?;
            assert_eq!((entries[0].kind(), entries[0].entries), (EntryKind::Folder, 1));
            let file = &entries[1];
            assert_eq!((file.kind(), file.size_bytes), (EntryKind::File, 200));
            assert_eq!((file.replicas_stored, file.replicas_wanted), (3, 3));
            assert!(file.modified_at.is_some() && !file.version_id.is_empty());
            let usage = client.files.get_usage(v1::GetUsageRequest::default()).await?.into_inner();
            assert_eq!((usage.files, usage.folders, usage.bytes), (3, 2, 303));
            let again = client.mkdir("photos").await?;
            assert_eq!((again.outcome(), again.reason.as_str()), (Outcome::Rejected, "folder_exists"));
            let full = client.delete("photos").await?;
            assert_eq!((full.outcome(), full.reason.as_str()), (Outcome::Rejected, "folder_not_empty"));
            assert_eq!(client.delete_tree("photos").await?.outcome(), Outcome::Applied);
            assert_eq!(client.ls("").await?, ["photos.txt"]);
            assert_eq!(client.get("photos/b.jpg").await.unwrap_err().code(), Code::NotFound);
            let missing = client.ls("photos").await.unwrap_err();
            assert_eq!((missing.code(), reason_of(&missing).as_str()), (Code::NotFound, "folder_not_found"));
            let file = client.ls("photos.txt").await.unwrap_err();
            assert_eq!(reason_of(&file), "not_a_folder");
            cluster.verify().await
        },
    );
}

#[test]
fn a_listing_goes_page_by_page_and_misses_nothing() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            for i in 0..25 {
                client.mkdir(&format!("many/{i:02}")).await?;
            }
            let whole = client.entries("many", "", 1000).await?;
            assert_eq!(whole.len(), 25);
            for page_size in [1, 7, 24, 25, 26] {
                assert_eq!(client.entries("many", "", page_size).await?, whole, "{page_size}");
            }
            let request = v1::ListFolderRequest { path: "many".to_owned(), page_size: 10, ..Default::default() };
            let first = client.files.list_folder(request.clone()).await?.into_inner();
            // What is deleted or made behind the page's end is seen or not; nothing else is missed or repeated.
            client.delete("many/03").await?;
            client.delete("many/15").await?;
            let request = v1::ListFolderRequest { page_token: first.next_page_token, page_size: 100, ..request };
            let rest = client.files.list_folder(request.clone()).await?.into_inner();
            let names: Vec<String> = first.entries.into_iter().chain(rest.entries).map(|entry| entry.name).collect();
            let expected: Vec<String> = (0..25).filter(|i| *i != 15).map(|i| format!("{i:02}")).collect();
            assert_eq!(names, expected);
            let wrong = v1::ListFolderRequest { path: String::new(), ..request };
            assert_eq!(reason_of(&client.files.list_folder(wrong).await.unwrap_err()), "page_token_invalid");
            Ok(())
        },
    );
}

#[test]
fn a_file_keeps_its_identity_and_history_when_it_moves() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let first = client.put("a.txt", Content::new(1, 10)).await?;
            let second = client.put("a.txt", Content::new(2, 20)).await?;
            let moved = client.mv("a.txt", "deep/er/b.txt", Fail).await?;
            assert_eq!((moved.outcome(), moved.path.as_str()), (Outcome::Applied, "deep/er/b.txt"));
            assert_eq!(moved.file_id, first.file_id);
            assert_eq!(client.get("deep/er/b.txt").await?, Content::new(2, 20).bytes());
            assert_eq!(client.get("a.txt").await.unwrap_err().code(), Code::NotFound);
            let ids = |versions: Vec<v1::Version>| versions.into_iter().map(|v| v.version_id).collect::<Vec<_>>();
            assert_eq!(ids(client.versions("deep/er/b.txt").await?), [second.version_id.clone(), first.version_id]);
            // A whole folder in one event, and back into the root.
            let before = client.status().await?.journal.unwrap().head;
            assert_eq!(client.mv("deep", "shallow", Fail).await?.outcome(), Outcome::Applied);
            assert_eq!(client.changes(&before).await?.len(), 1);
            let third = client.put("shallow/er/b.txt", Content::new(3, 30)).await?;
            assert_eq!(third.file_id, second.file_id);
            client.mv("shallow/er/b.txt", "b.txt", Fail).await?;
            assert_eq!(ids(client.versions("b.txt").await?).len(), 3);
            assert_eq!(client.ls("").await?, ["b.txt", "shallow/"]);
            cluster.verify().await
        },
    );
}

#[test]
fn a_move_that_cannot_be_is_rejected_and_changes_nothing() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("dir/sub/f", Content::new(1, 10)).await?;
            client.put("g", Content::new(2, 20)).await?;
            let before = client.ls("").await?;
            for (from, to, on_conflict, reason) in [
                ("dir", "dir/sub/dir", Fail, "into_itself"),
                ("dir", "dir", Fail, "same_path"),
                ("g", "dir/sub/f", Fail, "file_exists"),
                ("g", "dir", Fail, "name_taken_by_folder"),
                ("g", "dir", Overwrite, "name_taken_by_folder"),
                ("dir", "g", Overwrite, "file_exists"),
                ("dir", "g/x", Fail, "parent_is_a_file"),
            ] {
                let receipt = client.mv(from, to, on_conflict).await?;
                let told = (receipt.outcome(), receipt.reason.as_str());
                assert_eq!(told, (Outcome::Rejected, reason), "{from} to {to} {on_conflict:?}");
            }
            assert_eq!(client.ls("").await?, before);
            assert_eq!(reason_of(&client.mv("none", "x", Fail).await.unwrap_err()), "file_not_found");
            let twin = client.mv("g", "dir/sub/f", KeepBoth).await?;
            assert_eq!(twin.outcome(), Outcome::ConflictedCopy);
            assert!(twin.path.starts_with("dir/sub/f (conflicted copy anonymous 20"), "{}", twin.path);
            assert_eq!(client.get(&twin.path).await?, Content::new(2, 20).bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn a_file_moved_onto_another_replaces_it_and_the_other_is_in_the_trash() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let old = client.put("old", Content::new(1, 10)).await?;
            let new = client.put("new", Content::new(2, 20)).await?;
            let moved = client.mv("new", "old", Overwrite).await?;
            assert_eq!((moved.outcome(), &moved.file_id), (Outcome::Applied, &new.file_id));
            assert_eq!(client.get("old").await?, Content::new(2, 20).bytes());
            let trash = client.trash().await?;
            assert_eq!((trash.len(), trash[0].path.as_str(), &trash[0].file_id), (1, "old", &old.file_id));
            let back = client.undelete(v1::UndeleteRequest {
                file_id: old.file_id,
                path: "older".to_owned(),
                ..Default::default()
            });
            assert_eq!(back.await?.path, "older");
            assert_eq!(client.get("older").await?, Content::new(1, 10).bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn a_copy_costs_no_bytes_and_is_a_file_of_its_own() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let first = client.put("a", Content::new(1, 1000)).await?;
            client.put("a", Content::new(2, 2000)).await?;
            let copy = client.cp("a", "b/c", Fail).await?;
            assert_ne!(copy.file_id, first.file_id);
            assert_eq!((copy.size_bytes, copy.path.as_str()), (2000, "b/c"));
            assert_eq!(client.get("b/c").await?, Content::new(2, 2000).bytes());
            assert_eq!(
                client.file("b/c").await?.version.unwrap().blob_id,
                client.file("a").await?.version.unwrap().blob_id
            );
            let older = v1::CopyRequest {
                from: "a".to_owned(),
                to: "old".to_owned(),
                version_id: first.version_id,
                ..Default::default()
            };
            client.files.copy(older).await?;
            assert_eq!(client.get("old").await?, Content::new(1, 1000).bytes());
            assert_eq!(client.cp("a", "old", Fail).await?.reason, "file_exists");
            let over = client.cp("a", "old", Overwrite).await?;
            assert_eq!(client.versions("old").await?.len(), 2);
            assert_eq!(over.outcome(), Outcome::Applied);
            // The copies stay when what they were made of goes.
            client.delete("a").await?;
            assert_eq!(client.get("b/c").await?, Content::new(2, 2000).bytes());
            cluster.verify().await
        },
    );
}
