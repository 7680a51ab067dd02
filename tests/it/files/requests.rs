//! Request ids: the same id again answers the first outcome, whatever happened since.

use proto::v1::{self, OnConflict, Outcome, Receipt};
use tests::{Client, Cluster, Content, chunks, metadata, reason_of, run};
use tonic::{Code, Status};

/// One of each kind of change, as a request with the id that is given; made again, it is the same request.
async fn all_kinds(client: &mut Client, prefix: &str, ids: &Ids) -> Result<Vec<Receipt>, Status> {
    let id = |name: &str| format!("{prefix}-{name}");
    let mut receipts = Vec::new();
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
    let space = v1::CreateSpaceRequest { space: ids.space.clone(), request_id: id("space"), ..Default::default() };
    receipts.extend(client.files.create_space(space).await?.into_inner().receipt);
    Ok(receipts)
}

/// What differs between two rounds that shall both be new.
struct Ids {
    space: String,
}

#[test]
fn the_same_id_again_is_the_first_outcome_also_after_a_restart_and_a_rebuild() {
    run(
        |b| b,
        async |cluster| {
            let ids = Ids { space: "made".to_owned() };
            let mut client = cluster.client().await?;
            let first = all_kinds(&mut client, "one", &ids).await?;
            let outcomes: Vec<Outcome> = first.iter().map(Receipt::outcome).collect();
            let applied = outcomes.iter().filter(|outcome| **outcome == Outcome::Applied).count();
            assert_eq!((applied, outcomes.len(), first[1].reason.as_str()), (8, 9, "file_exists"));
            let head = head(cluster).await?;
            assert_eq!(all_kinds(&mut client, "one", &ids).await?, first);
            cluster.stack.stop("gateway").await?;
            cluster.stack.start("gateway").await?;
            let mut client = cluster.client().await?;
            assert_eq!(all_kinds(&mut client, "one", &ids).await?, first);
            let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
            assert!(rebuilt.status.success(), "{rebuilt:?}");
            assert_eq!(all_kinds(&mut client, "one", &ids).await?, first);
            assert_eq!(head, self::head(cluster).await?, "nothing was published again");
            for receipt in &first {
                let request = v1::GetReceiptRequest { event_id: receipt.event_id.clone(), ..Default::default() };
                assert_eq!(client.files.get_receipt(request).await?.into_inner().receipt.as_ref(), Some(receipt));
            }
            cluster.verify().await
        },
    );
}

async fn head(cluster: &Cluster) -> anyhow::Result<String> {
    cluster.settle().await;
    Ok(cluster.client().await?.status().await?.journal.unwrap().head)
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

#[test]
fn requests_with_one_id_at_the_same_time_are_one_change() {
    run(
        |b| b,
        async |cluster| {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let mut client = cluster.client().await?;
                tasks.spawn(async move {
                    let mut about = metadata("same");
                    about.request_id = "once".to_owned();
                    client.upload(about, chunks(Content::new(1, 50_000))).await
                });
            }
            let mut receipts = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                receipts.push(ended??);
            }
            receipts.dedup_by(|a, b| (&a.event_id, &a.sequence) == (&b.event_id, &b.sequence));
            assert_eq!(receipts.len(), 1, "{receipts:?}");
            let mut client = cluster.client().await?;
            assert_eq!(client.versions("same").await?.len(), 1);
            cluster.verify().await
        },
    );
}
