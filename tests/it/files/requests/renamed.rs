//! Request ids and the names of spaces: who asks again may name the space as before, whatever it is called by now.

use proto::v1::{self, OnConflict, Receipt};
use tests::{Client, Content, chunks, reason_of, run};
use tonic::{Code, Status};

use super::head;

/// What the requests of [`all_in`] are answered.
#[derive(Debug, PartialEq)]
struct Answers {
    receipts: Vec<Receipt>,
    pruned: v1::PruneResponse,
    /// Of something, and of nothing.
    undone: [v1::UndoResponse; 2],
}

fn about(space: &str, path: &str, request_id: &str, content: Content) -> v1::UploadMetadata {
    v1::UploadMetadata {
        space: space.to_owned(),
        path: path.to_owned(),
        request_id: request_id.to_owned(),
        size_bytes: Some(content.size),
        sha256: Some(content.sha256().as_bytes().to_vec().into()),
        ..Default::default()
    }
}

/// One of each kind of change in a space, as a request with an id.
async fn all_in(client: &mut Client, space: &str) -> Result<Answers, Status> {
    let mut receipts = Vec::new();
    uploads(client, space, &mut receipts).await?;
    changes(client, space, &mut receipts).await?;
    let prune = v1::PruneRequest { space: space.to_owned(), request_id: "prune".to_owned(), ..Default::default() };
    let pruned = client.files.prune(prune).await?.into_inner();
    let undo = |n: usize, id: &str| v1::UndoRequest {
        space: space.to_owned(),
        of_actor: "mallory".to_owned(),
        from_sequence: receipts[n].sequence.clone(),
        to_sequence: receipts[n].sequence.clone(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    // The second of mallory's uploads is undone; of the one that the others followed nothing is.
    let nothing = client.files.undo(undo(0, "undo nothing")).await?.into_inner();
    let something = client.files.undo(undo(1, "undo")).await?.into_inner();
    Ok(Answers { receipts, pruned, undone: [something, nothing] })
}

async fn uploads(client: &mut Client, space: &str, receipts: &mut Vec<Receipt>) -> Result<(), Status> {
    for (n, path) in (1..).zip(["dir/f", "spam"]) {
        let content = Content::new(n, 1000);
        let about = v1::UploadMetadata { actor: "mallory".to_owned(), ..about(space, path, path, content) };
        receipts.push(client.upload(about, chunks(content)).await?);
    }
    // Without its digest, its bytes tell whether it is the same request.
    let content = Content::new(3, 2000);
    let about = v1::UploadMetadata { sha256: None, ..about(space, "dir/f", "again", content) };
    receipts.push(client.upload(about, chunks(content)).await?);
    Ok(())
}

async fn changes(client: &mut Client, space: &str, receipts: &mut Vec<Receipt>) -> Result<(), Status> {
    let (space, id) = (|| space.to_owned(), str::to_owned);
    let mkdir =
        v1::CreateFolderRequest { space: space(), path: id("new"), request_id: id("mkdir"), ..Default::default() };
    receipts.extend(client.files.create_folder(mkdir).await?.into_inner().receipt);
    let cp = v1::CopyRequest {
        space: space(),
        from: id("dir/f"),
        to: id("new/copy"),
        request_id: id("cp"),
        ..Default::default()
    };
    receipts.extend(client.files.copy(cp).await?.into_inner().receipt);
    let copied = receipts.last().cloned().unwrap_or_default();
    let mv = v1::MoveRequest {
        space: space(),
        from: id("new/copy"),
        to: id("moved"),
        request_id: id("mv"),
        ..Default::default()
    };
    receipts.extend(client.files.r#move(mv).await?.into_inner().receipt);
    let rm = v1::DeleteRequest { space: space(), path: id("moved"), request_id: id("rm"), ..Default::default() };
    receipts.extend(client.files.delete(rm).await?.into_inner().receipt);
    let back = v1::UndeleteRequest {
        space: space(),
        file_id: copied.file_id,
        request_id: id("back"),
        on_conflict: OnConflict::Fail.into(),
        ..Default::default()
    };
    receipts.extend(client.files.undelete(back).await?.into_inner().receipt);
    let restore = v1::RestoreRequest {
        space: space(),
        path: id("moved"),
        version_id: copied.version_id,
        request_id: id("restore"),
        ..Default::default()
    };
    receipts.extend(client.files.restore(restore).await?.into_inner().receipt);
    let set = v1::SetRetentionRequest {
        space: space(),
        retention: Some(v1::Retention { keep_versions: Some(1), keep_days: None }),
        request_id: id("retain"),
        ..Default::default()
    };
    receipts.extend(client.files.set_retention(set).await?.into_inner().receipt);
    Ok(())
}

async fn rename(client: &mut Client, space: &str, new_name: &str, id: &str) -> Result<Option<Receipt>, Status> {
    let request = v1::RenameSpaceRequest {
        space: space.to_owned(),
        new_name: new_name.to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    Ok(client.files.rename_space(request).await?.into_inner().receipt)
}

async fn create(client: &mut Client, id: &str) -> Result<Option<Receipt>, Status> {
    let request = v1::CreateSpaceRequest { space: "team".to_owned(), request_id: id.to_owned(), ..Default::default() };
    Ok(client.files.create_space(request).await?.into_inner().receipt)
}

async fn delete(client: &mut Client, space: &str, id: &str) -> Result<Option<Receipt>, Status> {
    let request = v1::DeleteSpaceRequest {
        space: space.to_owned(),
        force: true,
        request_id: id.to_owned(),
        ..Default::default()
    };
    Ok(client.files.delete_space(request).await?.into_inner().receipt)
}

#[test]
fn the_same_id_under_the_old_name_of_its_space_is_the_first_outcome() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let made = create(&mut client, "make").await?;
            let first = all_in(&mut client, "team").await?;
            assert!(first.undone[0].steps[0].undone && !first.undone[1].steps[0].undone, "{:?}", first.undone);
            assert!(first.pruned.versions > 0, "{:?}", first.pruned);
            let renamed = rename(&mut client, "team", "crew", "rename").await?;
            let before = head(cluster).await?;
            assert_eq!(all_in(&mut client, "team").await?, first);
            assert_eq!(all_in(&mut client, "crew").await?, first);
            let other = client.upload(about("team", "dir/f", "dir/f", Content::new(9, 9)), chunks(Content::new(9, 9)));
            assert_eq!(reason_of(&other.await.unwrap_err()), "space_not_found", "another actor's id");
            let reused = v1::DeleteRequest {
                space: "team".to_owned(),
                path: "dir".to_owned(),
                request_id: "rm".to_owned(),
                ..Default::default()
            };
            let reused = client.files.delete(reused).await.unwrap_err();
            assert_eq!((reused.code(), reason_of(&reused).as_str()), (Code::AlreadyExists, "request_id_reused"));
            assert_eq!(head(cluster).await?, before, "nothing was published again");

            // Another space takes the name: it comes first, and its own requests with it.
            create(&mut client, "make another").await?;
            let content = Content::new(7, 70);
            let new = client.upload(about("team", "new", "new", content), chunks(content)).await?;
            assert_eq!(new.space, "team");
            assert_eq!(all_in(&mut client, "team").await?, first);
            let deleted = delete(&mut client, "crew", "delete").await?;
            delete(&mut client, "team", "delete another").await?;
            let before = head(cluster).await?;
            for restart in [false, true] {
                if restart {
                    cluster.stack.restart("gateway").await?;
                    client = cluster.client().await?;
                    let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
                    assert!(rebuilt.status.success(), "{rebuilt:?}");
                }
                for name in ["team", "crew"] {
                    assert_eq!(all_in(&mut client, name).await?, first, "in {name}");
                }
                assert_eq!(client.upload(about("team", "new", "new", content), chunks(content)).await?, new);
                // Spaces themselves.
                assert_eq!(create(&mut client, "make").await?, made);
                assert_eq!(rename(&mut client, "team", "crew", "rename").await?, renamed);
                assert_eq!(delete(&mut client, "crew", "delete").await?, deleted);
            }
            assert_eq!(head(cluster).await?, before, "nothing was published again");
            cluster.verify().await
        },
    );
}
