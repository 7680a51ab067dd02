//! Spaces.

use proto::v1::{self, Outcome, UploadMetadata};
use tests::{Content, chunks, reason_of, run};

fn in_space(space: &str, path: &str) -> UploadMetadata {
    UploadMetadata { space: space.to_owned(), path: path.to_owned(), ..Default::default() }
}

async fn names(client: &mut tests::Client) -> anyhow::Result<Vec<String>> {
    let spaces = client.files.list_spaces(v1::ListSpacesRequest::default()).await?.into_inner().spaces;
    Ok(spaces.into_iter().map(|space| space.name).collect())
}

#[test]
fn spaces_are_made_renamed_and_deleted() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            assert_eq!(client.create_space("team").await?.outcome(), Outcome::Applied);
            assert_eq!(client.create_space("team").await?.reason, "space_exists");
            assert_eq!(names(&mut client).await?, ["main", "team"]);
            client.upload(in_space("team", "f"), chunks(Content::new(1, 10))).await?;
            assert_eq!(reason_of(&client.get("f").await.unwrap_err()), "file_not_found");
            let rename = v1::RenameSpaceRequest {
                space: "team".to_owned(),
                new_name: "crew".to_owned(),
                request_id: "r1".to_owned(),
                ..Default::default()
            };
            let renamed = client.files.rename_space(rename.clone()).await?.into_inner().receipt.unwrap();
            assert_eq!(renamed.outcome(), Outcome::Applied);
            // Asked again, though the old name leads nowhere by now.
            assert_eq!(client.files.rename_space(rename).await?.into_inner().receipt, Some(renamed));
            // A second gateway, or this one a moment later, must not remember the old name.
            let old = client.upload(in_space("team", "g"), chunks(Content::new(2, 10))).await.unwrap_err();
            assert_eq!(reason_of(&old), "space_not_found");
            client.create_space("team").await?;
            let fresh = client.upload(in_space("team", "g"), chunks(Content::new(2, 10))).await?;
            assert_eq!(fresh.space, "team");
            let read = v1::DownloadRequest { space: "crew".to_owned(), path: "f".to_owned(), ..Default::default() };
            assert_eq!(client.download(read).await?.1, Content::new(1, 10).bytes());
            let delete = |force| v1::DeleteSpaceRequest { space: "crew".to_owned(), force, ..Default::default() };
            let full = client.files.delete_space(delete(false)).await?.into_inner().receipt.unwrap();
            assert_eq!((full.outcome(), full.reason.as_str()), (Outcome::Rejected, "space_not_empty"));
            let gone = client.files.delete_space(delete(true)).await?.into_inner().receipt.unwrap();
            assert_eq!(gone.outcome(), Outcome::Applied);
            assert_eq!(names(&mut client).await?, ["main", "team"]);
            cluster.verify().await
        },
    );
}

#[test]
fn deleted_spaces_are_listed_when_that_is_asked_for() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let mut deleted = Vec::new();
            for (name, actor) in [("team", "alice"), ("old", "bob"), ("team", "carol")] {
                client.create_space(name).await?;
                let delete =
                    v1::DeleteSpaceRequest { space: name.to_owned(), actor: actor.to_owned(), ..Default::default() };
                let receipt = client.files.delete_space(delete).await?.into_inner().receipt.unwrap();
                deleted.push((name.to_owned(), actor.to_owned(), receipt.sequence));
            }
            client.create_space("team").await?;
            assert_eq!(names(&mut client).await?, ["main", "team"]);
            let all = v1::ListSpacesRequest { include_deleted: true, ..Default::default() };
            let mut all = client.files.list_spaces(all).await?.into_inner().spaces;
            let gone = all.split_off(2);
            assert!(all.iter().all(|space| space.deleted_sequence.is_empty() && space.deleted_at.is_none()), "{all:?}");
            deleted.reverse();
            assert!(gone.iter().all(|space| space.deleted_at.is_some()), "{gone:?}");
            let told = gone.into_iter().map(|space| (space.name, space.deleted_by, space.deleted_sequence));
            assert_eq!(told.collect::<Vec<_>>(), deleted);
            let output = cluster.highwater(&["space", "ls", "--deleted"]).await?;
            let said = String::from_utf8(output.stdout)?;
            assert!(["alice", "bob", "carol"].iter().all(|by| said.contains(by)) && !said.contains("main"), "{said}");
            cluster.verify().await
        },
    );
}
