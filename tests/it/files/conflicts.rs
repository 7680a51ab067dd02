//! What an upload does when its path is taken, or is not what the client thinks.

use anyhow::Context as _;
use compose::Builder;
use proto::v1::{OnConflict, Outcome, UploadMetadata, start_upload_response};
use tests::{Client, Content, chunks, eventually, metadata, reason_of, run};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::resume::{finish, part, start};

async fn put(
    client: &mut Client,
    content: Content,
    change: impl FnOnce(&mut UploadMetadata),
) -> Result<proto::v1::Receipt, Status> {
    let mut about = metadata("f.txt");
    change(&mut about);
    client.upload(about, chunks(content)).await
}

#[test]
fn create_only_compare_and_swap_and_keep_both() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let fail = |about: &mut UploadMetadata| about.on_conflict = OnConflict::Fail.into();
            let one = put(&mut client, Content::new(1, 10), fail).await?;
            assert_eq!(one.outcome(), Outcome::Applied);
            let again = put(&mut client, Content::new(2, 20), fail).await?;
            assert_eq!((again.outcome(), again.reason.as_str()), (Outcome::Rejected, "file_exists"));
            let version = one.version_id.clone();
            let two = put(&mut client, Content::new(3, 30), |about| about.if_version.clone_from(&version)).await?;
            assert_eq!((two.outcome(), &two.file_id), (Outcome::Applied, &one.file_id));
            let late = put(&mut client, Content::new(4, 40), |about| about.if_version.clone_from(&version)).await?;
            assert_eq!((late.outcome(), late.reason.as_str()), (Outcome::Rejected, "version_changed"));
            let copy = put(&mut client, Content::new(5, 50), |about| {
                about.if_version.clone_from(&version);
                about.on_conflict = OnConflict::KeepBoth.into();
                about.actor = "bob".to_owned();
            });
            let copy = copy.await?;
            assert_eq!(copy.outcome(), Outcome::ConflictedCopy);
            assert!(
                copy.path.starts_with("f (conflicted copy bob 20") && copy.path.ends_with(").txt"),
                "{}",
                copy.path
            );
            assert_eq!(client.get("f.txt").await?, Content::new(3, 30).bytes());
            assert_eq!(client.get(&copy.path).await?, Content::new(5, 50).bytes());
            // A third one of the same day gets a number.
            let keep = |about: &mut UploadMetadata| {
                about.on_conflict = OnConflict::KeepBoth.into();
                about.actor = "bob".to_owned();
            };
            let third = put(&mut client, Content::new(6, 60), keep).await?;
            assert!(third.path.ends_with(" 2).txt"), "{}", third.path);
            cluster.verify().await
        },
    );
}

#[test]
fn the_same_content_again_costs_no_bytes_but_never_across_spaces() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.create_space("other").await?;
            let content = Content::new(1, 3 * 1024 * 1024);
            client.put("a", content).await?;
            let declared = |space: &str, path: &str| UploadMetadata {
                space: space.to_owned(),
                path: path.to_owned(),
                size_bytes: Some(content.size),
                sha256: Some(content.sha256().as_bytes().to_vec().into()),
                ..Default::default()
            };
            let first =
                |about| proto::v1::UploadRequest { payload: Some(proto::v1::upload_request::Payload::Metadata(about)) };
            // No chunk is sent at all.
            let only = futures::stream::iter([first(declared("main", "b"))]);
            let answer = client.files.upload(only).await?.into_inner();
            assert!(answer.instant);
            let receipt = answer.receipt.unwrap();
            assert_eq!((receipt.outcome(), receipt.size_bytes), (Outcome::Applied, content.size));
            assert_eq!(client.get("b").await?, content.bytes());
            let blob = |file: proto::v1::File| file.version.unwrap().blob_id;
            assert_eq!(blob(client.file("a").await?), blob(client.file("b").await?));
            // The other space does not learn that the bytes are here.
            let only = futures::stream::iter([first(declared("other", "c"))]);
            assert_eq!(reason_of(&client.files.upload(only).await.unwrap_err()), "size_mismatch");
            let sent = client.upload(declared("other", "c"), chunks(content)).await?;
            assert_ne!(sent.blob_id, receipt.blob_id);
            cluster.verify().await
        },
    );
}

#[test]
fn an_upload_is_held_back_until_enough_nodes_have_it() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let receipt = put(&mut client, Content::new(1, 100_000), |about| about.ack_replicas = 3).await?;
            let file = client.file("f.txt").await?;
            assert_eq!(file.replicas_stored, 3);
            let wait =
                proto::v1::WaitReplicatedRequest { version_id: receipt.version_id, replicas: 3, ..Default::default() };
            assert_eq!(client.files.wait_replicated(wait.clone()).await?.into_inner().replicas_stored, 3);
            let four = proto::v1::WaitReplicatedRequest { replicas: 4, ..wait };
            assert_eq!(reason_of(&client.files.wait_replicated(four).await.unwrap_err()), "replicas_invalid");
            for replicator in ["replicator-1", "replicator-2"] {
                cluster.stack.stop(replicator).await?;
            }
            let receipt = put(&mut client, Content::new(2, 100_000), |_| {}).await?;
            let wait = proto::v1::WaitReplicatedRequest {
                version_id: receipt.version_id,
                replicas: 2,
                timeout_ms: 200,
                ..Default::default()
            };
            let late = client.files.wait_replicated(wait).await.unwrap_err();
            assert_eq!((late.code(), reason_of(&late).as_str()), (Code::DeadlineExceeded, "replication_timeout"));
            Ok(())
        },
    );
}

#[test]
fn while_too_few_nodes_have_an_upload_its_answer_is_an_error_until_it_is_asked_for_again() {
    let soon = |b: Builder| b.env("gateway", "HIGHWATER_LIMITS__REPLICATION_WAIT", "200ms");
    run(soon, async |cluster| {
        let mut client = cluster.client().await?;
        for replicator in ["replicator-1", "replicator-2"] {
            cluster.stack.stop(replicator).await?;
        }
        let (whole, parts) = (Content::new(1, 1000), Content::new(7, 2000));
        let wanted = |path: &str, content: Content| UploadMetadata {
            request_id: path.to_owned(),
            ack_replicas: 2,
            size_bytes: Some(content.size),
            sha256: Some(content.sha256().as_bytes().to_vec().into()),
            ..metadata(path)
        };
        let uploaded = client.upload(wanted("whole", whole), chunks(whole)).await;
        let start_upload_response::Outcome::Session(begun) = start(&mut client, wanted("parts", parts)).await? else {
            anyhow::bail!("no session");
        };
        part(&mut client, &begun.upload_id, 0, parts.size).await?;
        let finished = finish(&mut client, &begun.upload_id).await;
        let started = start(&mut client, wanted("parts", parts)).await.map(|_| proto::v1::Receipt::default());
        let mut sequences = Vec::new();
        for (call, answer) in [("Upload", uploaded), ("FinishUpload", finished), ("StartUpload, again", started)] {
            let status = answer.err().with_context(|| format!("{call} does not wait for the second node"))?;
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "replicas_too_few"), "{call}");
            let details = status.get_details_error_info().with_context(|| format!("{call}: no details"))?.metadata;
            assert_eq!(details["replicas_stored"], "1", "{call}");
            sequences.push(details["sequence"].clone());
        }
        assert_eq!(sequences[1], sequences[2]);
        assert_eq!(client.get("whole").await?, whole.bytes(), "it is safe and can be read");
        for replicator in ["replicator-1", "replicator-2"] {
            cluster.stack.start(replicator).await?;
        }
        let again = async || client.clone().upload(wanted("whole", whole), chunks(whole)).await;
        let uploaded = eventually("two nodes have what was uploaded", again).await;
        let again = async || finish(&mut client.clone(), &begun.upload_id).await;
        let finished = eventually("two nodes have what was finished", again).await;
        let start_upload_response::Outcome::Receipt(started) = start(&mut client, wanted("parts", parts)).await? else {
            anyhow::bail!("it asks for the bytes again");
        };
        assert_eq!(started, finished);
        for (path, content, receipt, sequence) in
            [("whole", whole, uploaded, &sequences[0]), ("parts", parts, finished, &sequences[1])]
        {
            assert_eq!((receipt.outcome(), receipt.path.as_str()), (Outcome::Applied, path));
            assert_eq!((&receipt.sequence, client.versions(path).await?.len()), (sequence, 1), "{path}");
            assert!(client.file(path).await?.replicas_stored >= 2, "{path}");
            assert_eq!(client.get(path).await?, content.bytes(), "{path}");
        }
        cluster.verify().await
    });
}
