//! Watching a space: every change once, in order, with its outcome, from any sequence on.

use anyhow::Context as _;
use proto::v1::{self, OnConflict, Outcome, watch_response::Payload};
use tests::{Content, reason_of, run};

#[test]
fn changes_come_as_they_commit_and_a_watch_goes_on_exactly_where_it_stopped() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let incarnation = client.status().await?.journal.context("no journal")?.incarnation;
            let from = format!("{incarnation}-0");
            let request = v1::WatchRequest { from_sequence: from.clone(), ..Default::default() };
            let mut stream = client.files.watch(request).await?.into_inner();
            let put = client.put("a", Content::new(1, 10)).await?;
            let moved = client.mv("a", "b/c", OnConflict::Fail).await?;
            let rejected = client.mv("b/c", "b/c", OnConflict::Fail).await?;
            let deleted = client.delete("b/c").await?;
            let mut seen = Vec::new();
            while seen.len() < 5 {
                let message = stream.message().await?.context("the watch ended")?;
                if let Some(Payload::Change(change)) = message.payload {
                    seen.push(change);
                }
            }
            let told: Vec<_> = seen.iter().map(|c| (c.r#type.as_str(), c.outcome(), c.path.as_str())).collect();
            assert_eq!(
                told,
                [
                    ("highwater.space.created.v1", Outcome::Applied, ""),
                    ("highwater.file.uploaded.v1", Outcome::Applied, "a"),
                    ("highwater.file.moved.v1", Outcome::Applied, "b/c"),
                    ("highwater.file.moved.v1", Outcome::Rejected, "b/c"),
                    ("highwater.file.deleted.v1", Outcome::Applied, "b/c"),
                ]
            );
            let sequences: Vec<&str> = seen[1..].iter().map(|c| c.sequence.as_str()).collect();
            assert_eq!(sequences, [&put.sequence, &moved.sequence, &rejected.sequence, &deleted.sequence]);
            assert_eq!((seen[2].from_path.as_str(), seen[3].reason.as_str()), ("a", "same_path"));
            assert_eq!((&seen[1].version_id, seen[1].actor.as_str()), (&put.version_id, "anonymous"));
            // From each point on: exactly what came after it.
            for (i, change) in seen.iter().enumerate() {
                assert_eq!(client.changes(&change.sequence).await?, seen[i + 1..]);
            }
            assert_eq!(client.changes(&from).await?, seen);
            // Other spaces have their own changes.
            client.create_space("other").await?;
            assert_eq!(client.changes(&from).await?, seen);
            // After a rebuild too.
            let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
            anyhow::ensure!(rebuilt.status.success(), "{rebuilt:?}");
            assert_eq!(client.changes(&from).await?, seen);
            let after = client.put("d", Content::new(2, 10)).await?;
            let next = loop {
                let message = stream.message().await?.context("the watch ended")?;
                if let Some(Payload::Change(change)) = message.payload {
                    break change;
                }
            };
            assert_eq!(next.sequence, after.sequence, "the watch goes on over the switch");
            let foreign = v1::WatchRequest {
                from_sequence: "00000000000000000000000000000001-1".to_owned(),
                ..Default::default()
            };
            assert_eq!(reason_of(&client.files.watch(foreign).await.unwrap_err()), "journal_restored");
            Ok(())
        },
    );
}

#[test]
fn a_space_is_watched_by_its_id_also_when_it_is_deleted() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.create_space("team").await?;
            let spaces = client.files.list_spaces(v1::ListSpacesRequest::default()).await?.into_inner().spaces;
            let space = spaces.into_iter().find(|space| space.name == "team").context("no space")?;
            let about = v1::UploadMetadata { space: "team".to_owned(), path: "f".to_owned(), ..Default::default() };
            client.upload(about, tests::chunks(Content::new(1, 10))).await?;
            let delete = v1::DeleteSpaceRequest { space: "team".to_owned(), force: true, ..Default::default() };
            client.files.delete_space(delete).await?;
            let incarnation = client.status().await?.journal.context("no journal")?.incarnation;
            let by_name = v1::WatchRequest {
                space: "team".to_owned(),
                from_sequence: format!("{incarnation}-0"),
                once: true,
                ..Default::default()
            };
            assert_eq!(reason_of(&client.files.watch(by_name.clone()).await.unwrap_err()), "space_not_found");
            let by_id = v1::WatchRequest { space_id: space.space_id, ..by_name.clone() };
            let mut stream = client.files.watch(by_id).await?.into_inner();
            let mut seen = Vec::new();
            while let Some(message) = stream.message().await? {
                if let Some(Payload::Change(change)) = message.payload {
                    seen.push(change.r#type);
                }
            }
            let expected = ["highwater.space.created.v1", "highwater.file.uploaded.v1", "highwater.space.deleted.v1"];
            assert_eq!(seen, expected);
            let nobody = "00000000-0000-4000-8000-000000000000".to_owned();
            let never = v1::WatchRequest { space_id: nobody, ..by_name };
            assert_eq!(reason_of(&client.files.watch(never).await.unwrap_err()), "space_not_found");
            Ok(())
        },
    );
}
