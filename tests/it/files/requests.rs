//! Request ids: the same id again answers the first outcome, whatever happened since.

mod at_once;
mod renamed;

use proto::v1::{self, OnConflict, Outcome, Receipt};
use tests::{Client, Cluster, Content, chunks, metadata, reason_of, run};
use tonic::{Code, Status};

/// What the requests of [`all_kinds`] are answered.
#[derive(Debug, PartialEq)]
struct Answers {
    receipts: Vec<Receipt>,
    pruned: Vec<v1::PruneResponse>,
    undone: Vec<v1::UndoStep>,
}

/// One of each kind of change, as a request with an id; made again, they are the same requests.
async fn all_kinds(client: &mut Client) -> Result<Answers, Status> {
    let mut receipts = Vec::new();
    files(client, &mut receipts).await?;
    spaces(client, &mut receipts).await?;
    receipts.push(resumable(client, "resumable", "start").await?);
    let mut spam = metadata("spam");
    (spam.actor, spam.request_id) = ("mallory".to_owned(), "spam".to_owned());
    let spam = client.upload(spam, chunks(Content::new(4, 1000))).await?;
    let undo = v1::UndoRequest {
        of_actor: "mallory".to_owned(),
        from_sequence: spam.sequence.clone(),
        to_sequence: spam.sequence.clone(),
        request_id: "undo".to_owned(),
        ..Default::default()
    };
    let undone = client.files.undo(undo).await?.into_inner().steps;
    receipts.push(spam);
    let mut pruned = Vec::new();
    // In the one there is something to prune, in the other there is not.
    for (space, id) in [("", "prune"), ("kept", "prune nothing")] {
        let prune = v1::PruneRequest { space: space.to_owned(), request_id: id.to_owned(), ..Default::default() };
        pruned.push(client.files.prune(prune).await?.into_inner());
    }
    Ok(Answers { receipts, pruned, undone })
}

async fn files(client: &mut Client, receipts: &mut Vec<Receipt>) -> Result<(), Status> {
    let id = str::to_owned;
    let mut about = metadata("dir/f");
    about.request_id = id("put");
    receipts.push(client.upload(about, chunks(Content::new(1, 1000))).await?);
    let mut fail = metadata("dir/f");
    fail.request_id = id("fail");
    fail.on_conflict = OnConflict::Fail.into();
    receipts.push(client.upload(fail, chunks(Content::new(2, 1000))).await?);
    let mkdir = v1::CreateFolderRequest { path: "new".to_owned(), request_id: id("mkdir"), ..Default::default() };
    receipts.extend(client.files.create_folder(mkdir).await?.into_inner().receipt);
    let cp = v1::CopyRequest {
        from: "dir/f".to_owned(),
        to: "new/copy".to_owned(),
        request_id: id("cp"),
        ..Default::default()
    };
    receipts.extend(client.files.copy(cp).await?.into_inner().receipt);
    let mv = v1::MoveRequest {
        from: "new/copy".to_owned(),
        to: "moved".to_owned(),
        request_id: id("mv"),
        ..Default::default()
    };
    receipts.extend(client.files.r#move(mv).await?.into_inner().receipt);
    let rm = v1::DeleteRequest { path: "moved".to_owned(), request_id: id("rm"), ..Default::default() };
    receipts.extend(client.files.delete(rm).await?.into_inner().receipt);
    let file_id = receipts[3].file_id.clone();
    let back = v1::UndeleteRequest { file_id, request_id: id("back"), ..Default::default() };
    receipts.extend(client.files.undelete(back).await?.into_inner().receipt);
    let restore = v1::RestoreRequest {
        path: "moved".to_owned(),
        version_id: receipts[3].version_id.clone(),
        request_id: id("restore"),
        ..Default::default()
    };
    receipts.extend(client.files.restore(restore).await?.into_inner().receipt);
    Ok(())
}

async fn spaces(client: &mut Client, receipts: &mut Vec<Receipt>) -> Result<(), Status> {
    for space in ["kept", "renamed", "deleted"] {
        let request_id = format!("make {space}");
        let space = v1::CreateSpaceRequest { space: space.to_owned(), request_id, ..Default::default() };
        receipts.extend(client.files.create_space(space).await?.into_inner().receipt);
    }
    for space in ["", "kept"] {
        let set = v1::SetRetentionRequest {
            space: space.to_owned(),
            retention: Some(v1::Retention { keep_versions: Some(1), keep_days: None }),
            request_id: "retain".to_owned(),
            ..Default::default()
        };
        receipts.extend(client.files.set_retention(set).await?.into_inner().receipt);
    }
    let rename = v1::RenameSpaceRequest {
        space: "renamed".to_owned(),
        new_name: "other".to_owned(),
        request_id: "rename".to_owned(),
        ..Default::default()
    };
    receipts.extend(client.files.rename_space(rename).await?.into_inner().receipt);
    let delete =
        v1::DeleteSpaceRequest { space: "deleted".to_owned(), request_id: "delete".to_owned(), ..Default::default() };
    receipts.extend(client.files.delete_space(delete).await?.into_inner().receipt);
    Ok(())
}

/// An upload in parts, of which only the start has a request id.
async fn resumable(client: &mut Client, path: &str, request_id: &str) -> Result<Receipt, Status> {
    use v1::start_upload_response::Outcome;
    use v1::upload_part_request::Payload;
    let content = Content::new(3, 3000);
    let mut about = metadata(path);
    about.request_id = request_id.to_owned();
    about.size_bytes = Some(content.size);
    about.sha256 = Some(content.sha256().as_bytes().to_vec().into());
    let started = client.files.start_upload(v1::StartUploadRequest { metadata: Some(about) }).await?.into_inner();
    let upload_id = match started.outcome {
        Some(Outcome::Receipt(receipt)) => return Ok(receipt),
        Some(Outcome::Session(session)) => session.upload_id,
        None => return Err(Status::internal("no outcome")),
    };
    let header = v1::PartHeader { upload_id: upload_id.clone(), offset: 0 };
    let messages = [Payload::Header(header), Payload::Chunk(content.bytes())];
    let messages = messages.map(|payload| v1::UploadPartRequest { payload: Some(payload) });
    client.files.upload_part(futures::stream::iter(messages)).await?;
    let finished = client.files.finish_upload(v1::FinishUploadRequest { upload_id }).await?.into_inner();
    finished.receipt.ok_or_else(|| Status::internal("no receipt"))
}

#[test]
fn the_same_id_again_is_the_first_outcome_also_after_a_restart_and_a_rebuild() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let first = all_kinds(&mut client).await?;
            let outcomes: Vec<Outcome> = first.receipts.iter().map(Receipt::outcome).collect();
            let applied = outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count();
            assert_eq!((applied, outcomes.len(), first.receipts[1].reason.as_str()), (16, 17, "file_exists"));
            assert!(first.undone.len() == 1 && first.undone[0].undone, "{:?}", first.undone);
            let pruned: Vec<_> = first.pruned.iter().map(|answer| (answer.versions, answer.receipts.len())).collect();
            assert_eq!(pruned, [(2, 1), (0, 0)], "{:?}", first.pruned);
            // There is something new to prune.
            client.put("dir/f", Content::new(8, 800)).await?;
            let head = head(cluster).await?;
            assert_eq!(all_kinds(&mut client).await?, first);
            cluster.stack.stop("gateway").await?;
            cluster.stack.start("gateway").await?;
            let mut client = cluster.client().await?;
            assert_eq!(all_kinds(&mut client).await?, first);
            let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
            assert!(rebuilt.status.success(), "{rebuilt:?}");
            assert_eq!(all_kinds(&mut client).await?, first);
            assert_eq!(head, self::head(cluster).await?, "nothing was published again");
            for receipt in &first.receipts {
                let request = v1::GetReceiptRequest { event_id: receipt.event_id.clone(), ..Default::default() };
                assert_eq!(client.files.get_receipt(request).await?.into_inner().receipt.as_ref(), Some(receipt));
            }
            cluster.verify().await
        },
    );
}

/// After its duplicate window the journal stores an id a second time. The window is too long to wait for: that the ids of
/// the messages differ comes to the same.
#[test]
fn an_event_that_the_journal_stores_twice_takes_effect_once() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let first = all_kinds(&mut client).await?;
            cluster.settle().await;
            let (before, listed) = (head(cluster).await?, client.entries("", "", 1000).await?);
            let jetstream = async_nats::jetstream::new(async_nats::connect(cluster.stack.nats_url()?).await?);
            let journal = jetstream.get_stream("HIGHWATER").await?;
            let last = journal.get_info().await?.state.last_sequence;
            let mut repeated = 0;
            for n in 1..=last {
                let message = journal.get_raw_message(n).await?;
                // What the client's requests became, none of what the programs say to each other.
                if !message.headers.get("Nats-Msg-Id").is_some_and(|id| is_of(&first, id.as_str())) {
                    continue;
                }
                let mut headers = async_nats::HeaderMap::new();
                headers.insert("Nats-Msg-Id", format!("again-{n}"));
                jetstream.publish_with_headers(message.subject, headers, message.payload).await?.await?;
                repeated += 1;
            }
            assert_eq!(repeated, first.receipts.len() + first.undone.len() + 1);
            assert_ne!(before, head(cluster).await?, "they are in the journal");
            assert_eq!(client.changes(&before).await?, [], "they are no changes");
            assert_eq!(client.entries("", "", 1000).await?, listed);
            assert_eq!(all_kinds(&mut client).await?, first);
            cluster.verify().await
        },
    );
}

/// Whether an event is one of those that are answered.
fn is_of(answers: &Answers, event_id: &str) -> bool {
    let undone = answers.undone.iter().filter_map(|step| step.receipt.as_ref());
    let pruned = answers.pruned.iter().flat_map(|answer| &answer.receipts);
    answers.receipts.iter().chain(undone).chain(pruned).any(|receipt| receipt.event_id == event_id)
}

async fn head(cluster: &Cluster) -> anyhow::Result<String> {
    cluster.settle().await;
    Ok(cluster.client().await?.status().await?.journal.unwrap().head)
}

#[test]
fn pruning_again_with_the_same_id_prunes_nothing_more() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 10)).await?;
            // More than one event holds.
            for _ in 0..155 {
                client.cp("a", "f", OnConflict::Overwrite).await?;
            }
            client.create_space("other").await?;
            for space in ["", "other"] {
                let retention = Some(v1::Retention { keep_versions: Some(2), keep_days: None });
                let set = v1::SetRetentionRequest { space: space.to_owned(), retention, ..Default::default() };
                client.files.set_retention(set).await?;
            }
            let prune = v1::PruneRequest { request_id: format!("{:x<128}", "p"), ..Default::default() };
            let done = client.files.prune(prune.clone()).await?.into_inner();
            assert_eq!((done.versions, done.bytes, done.receipts.len()), (153, 1530, 2));
            assert!(done.receipts.iter().all(|receipt| receipt.outcome() == Outcome::Applied), "{:?}", done.receipts);
            assert_eq!((done.pruned.len(), done.pruned[0].path.as_str()), (153, "f"));
            client.cp("a", "f", OnConflict::Overwrite).await?;
            client.mv("f", "elsewhere", OnConflict::Fail).await?;
            let retention = Some(v1::Retention { keep_versions: Some(1), keep_days: None });
            client.files.set_retention(v1::SetRetentionRequest { retention, ..Default::default() }).await?;
            assert_eq!(client.files.prune(prune.clone()).await?.into_inner(), done);
            let held = client.versions("elsewhere").await?.iter().filter(|version| !version.pruned).count();
            assert_eq!(held, 3, "nothing more is pruned");
            for reused in [
                v1::PruneRequest { space: "other".to_owned(), ..prune.clone() },
                v1::PruneRequest { retention, ..prune.clone() },
            ] {
                let reused = client.files.prune(reused).await.unwrap_err();
                assert_eq!((reused.code(), reason_of(&reused).as_str()), (Code::AlreadyExists, "request_id_reused"));
            }
            cluster.verify().await
        },
    );
}

#[test]
fn the_same_id_for_another_request_is_refused() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a", Content::new(1, 10)).await?;
            client.put("b", Content::new(2, 10)).await?;
            let rm = |path: &str| v1::DeleteRequest {
                path: path.to_owned(),
                request_id: "x".to_owned(),
                ..Default::default()
            };
            client.delete_if(rm("a")).await?;
            let reused = client.delete_if(rm("b")).await.unwrap_err();
            assert_eq!((reused.code(), reason_of(&reused).as_str()), (Code::AlreadyExists, "request_id_reused"));
            let mv = v1::MoveRequest {
                from: "b".to_owned(),
                to: "c".to_owned(),
                request_id: "x".to_owned(),
                ..Default::default()
            };
            assert_eq!(reason_of(&client.files.r#move(mv).await.unwrap_err()), "request_id_reused");
            assert_eq!(client.ls("").await?, ["b"]);
            Ok(())
        },
    );
}
