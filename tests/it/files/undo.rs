//! Undoing what somebody did.

mod kinds;

use anyhow::{Context as _, ensure};
use compose::Builder;
use proto::v1::{self, OnConflict, Outcome, Receipt, UploadMetadata};
use tests::{Client, Cluster, Content, chunks, eventually, reason_of, run};
use tonic::{Code, Status};

async fn put(client: &mut Client, actor: &str, path: &str, content: Content) -> anyhow::Result<Receipt> {
    let about = UploadMetadata { path: path.to_owned(), actor: actor.to_owned(), ..Default::default() };
    Ok(client.upload(about, chunks(content)).await?)
}

/// Undoes what `mallory` did from one sequence to another.
fn request(from: &str, to: &str) -> v1::UndoRequest {
    v1::UndoRequest {
        of_actor: "mallory".to_owned(),
        from_sequence: from.to_owned(),
        to_sequence: to.to_owned(),
        actor: "admin".to_owned(),
        // As long as one can be.
        request_id: format!("{:x<128}", format!("undo {from} ")),
        ..Default::default()
    }
}

async fn undo(client: &mut Client, request: &v1::UndoRequest) -> Result<Vec<v1::UndoStep>, Status> {
    Ok(client.files.undo(request.clone()).await?.into_inner().steps)
}

/// What the steps say, without what became of them.
fn told(steps: &[v1::UndoStep]) -> Vec<(String, bool)> {
    steps.iter().map(|step| (step.action.clone(), step.undone)).collect()
}

async fn head(client: &mut Client) -> anyhow::Result<String> {
    Ok(client.status().await?.journal.context("no journal")?.head)
}

#[test]
fn one_actors_changes_are_undone_newest_first_and_nobody_elses() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            put(&mut client, "alice", "report", Content::new(1, 10)).await?;
            put(&mut client, "alice", "plan", Content::new(2, 20)).await?;
            put(&mut client, "alice", "keep", Content::new(3, 30)).await?;
            let first = put(&mut client, "mallory", "report", Content::new(4, 40)).await?;
            put(&mut client, "mallory", "report", Content::new(5, 50)).await?;
            put(&mut client, "mallory", "spam", Content::new(6, 60)).await?;
            let rm = v1::DeleteRequest { path: "plan".to_owned(), actor: "mallory".to_owned(), ..Default::default() };
            client.delete_if(rm).await?;
            put(&mut client, "mallory", "keep", Content::new(7, 70)).await?;
            put(&mut client, "alice", "keep", Content::new(8, 80)).await?;
            let mv = v1::MoveRequest {
                from: "keep".to_owned(),
                to: "hidden/keep".to_owned(),
                actor: "mallory".to_owned(),
                ..Default::default()
            };
            let last = client.files.r#move(mv).await?.into_inner().receipt.context("no receipt")?;
            cluster.settle().await;
            let before = head(&mut client).await?;
            let request = request(&first.sequence, &last.sequence);
            let planned = undo(&mut client, &v1::UndoRequest { dry_run: true, ..request.clone() }).await?;
            assert_eq!(client.changes(&before).await?, [], "a dry run changes nothing");
            let done = undo(&mut client, &request).await?;
            assert_eq!(told(&planned), told(&done), "the dry run says what is done");
            assert_eq!(done.iter().filter(|step| step.undone).count(), 5, "{done:#?}");
            let left: Vec<&str> = done.iter().filter(|step| !step.undone).map(|step| step.action.as_str()).collect();
            assert_eq!(left, ["keep was changed again since"]);
            assert_eq!(client.ls("").await?, ["hidden/", "keep", "plan", "report"]);
            assert_eq!(client.get("report").await?, Content::new(1, 10).bytes());
            assert_eq!(client.get("plan").await?, Content::new(2, 20).bytes());
            assert_eq!(client.get("keep").await?, Content::new(8, 80).bytes());
            // Again, when much has happened since: the first outcome, also after a rebuild.
            put(&mut client, "alice", "report", Content::new(9, 90)).await?;
            client.delete("keep").await?;
            let before = head(&mut client).await?;
            assert_eq!(undo(&mut client, &request).await?, done);
            let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
            ensure!(rebuilt.status.success(), "{rebuilt:?}");
            assert_eq!(undo(&mut client, &request).await?, done);
            assert_eq!(client.changes(&before).await?, [], "nothing is done twice");
            for other in [
                v1::UndoRequest { of_actor: "alice".to_owned(), ..request.clone() },
                v1::UndoRequest { to_sequence: first.sequence.clone(), ..request.clone() },
            ] {
                let reused = undo(&mut client, &other).await.unwrap_err();
                assert_eq!((reused.code(), reason_of(&reused).as_str()), (Code::AlreadyExists, "request_id_reused"));
            }
            let rm = v1::DeleteRequest {
                path: "plan".to_owned(),
                actor: request.actor.clone(),
                request_id: request.request_id.clone(),
                ..Default::default()
            };
            assert_eq!(reason_of(&client.delete_if(rm).await.unwrap_err()), "request_id_reused");
            cluster.verify().await
        },
    );
}

/// How many changes an undo has that is cut.
const CUT: u64 = 60;

/// Has an undo of many versions of the file `f`, and of a file beside it for each, cut by the end of the gateway.
async fn cut_undo(cluster: &Cluster) -> anyhow::Result<v1::UndoRequest> {
    let mut client = cluster.client().await?;
    put(&mut client, "alice", "f", Content::new(1, 10)).await?;
    let first = put(&mut client, "mallory", "f", Content::new(2, 20)).await?;
    let mut last = first.clone();
    for n in 1..CUT / 2 {
        put(&mut client, "mallory", &format!("spam{n}"), Content::new(100 + n, 5)).await?;
        last = put(&mut client, "mallory", "f", Content::new(1000 + n, 30)).await?;
    }
    let request = request(&first.sequence, &last.sequence);
    let mut tasks = tokio::task::JoinSet::new();
    {
        let (mut client, request) = (client.clone(), request.clone());
        tasks.spawn(async move { undo(&mut client, &request).await });
    }
    eventually("the undo has begun", async || {
        let changes = client.changes(&last.sequence).await?;
        ensure!(changes.len() > 3, "{} changes", changes.len());
        anyhow::Ok(())
    })
    .await;
    cluster.stack.kill("gateway").await?;
    let asked = tasks.join_next().await.context("no task")?;
    ensure!(asked?.is_err(), "the undo was done before it was cut");
    cluster.stack.start("gateway").await?;
    Ok(request)
}

#[test]
fn an_undo_that_was_cut_goes_on_when_it_is_asked_for_again() {
    run(
        |b| b,
        async |cluster| {
            let request = cut_undo(cluster).await?;
            let mut client = cluster.client().await?;
            let done = undo(&mut client, &request).await?;
            assert_eq!(done.len() as u64, CUT - 1);
            assert!(done.iter().all(|step| step.undone), "{:?}", told(&done));
            assert_eq!(client.ls("").await?, ["f"]);
            assert_eq!(client.get("f").await?, Content::new(1, 10).bytes());
            let events: Vec<&str> =
                done.iter().filter_map(|step| Some(step.receipt.as_ref()?.event_id.as_str())).collect();
            let changes = client.changes(&request.to_sequence).await?;
            assert_eq!(changes.iter().map(|change| change.event_id.as_str()).collect::<Vec<_>>(), events, "each once");
            assert_eq!(undo(&mut client, &request).await?, done);
            cluster.verify().await
        },
    );
}

#[test]
fn what_somebody_changes_between_two_steps_stays() {
    run(
        |b| b,
        async |cluster| {
            let request = cut_undo(cluster).await?;
            let mut client = cluster.client().await?;
            put(&mut client, "alice", "f", Content::new(7, 70)).await?;
            let done = undo(&mut client, &request).await?;
            assert_eq!(client.get("f").await?, Content::new(7, 70).bytes());
            assert_eq!(client.ls("").await?, ["f"], "what nobody else touched is undone");
            let refused: Vec<_> = done.iter().filter(|step| !step.undone).collect();
            assert!(!refused.is_empty(), "{:?}", told(&done));
            for step in refused {
                let receipt = step.receipt.as_ref().context("no receipt")?;
                assert_eq!((receipt.outcome(), receipt.reason.as_str()), (Outcome::Rejected, "version_changed"));
            }
            assert_eq!(undo(&mut client, &request).await?, done);
            cluster.verify().await
        },
    );
}

#[test]
fn a_file_with_more_versions_than_a_page_is_not_deleted_by_undoing_them() {
    let small = |b: Builder| b.env("gateway", "HIGHWATER_LIMITS__PAGE_SIZE", "5");
    run(small, async |cluster| {
        let mut client = cluster.client().await?;
        put(&mut client, "alice", "f", Content::new(1, 10)).await?;
        let first = put(&mut client, "mallory", "f", Content::new(2, 20)).await?;
        for n in 0..10 {
            put(&mut client, "mallory", "f", Content::new(10 + n, 30)).await?;
        }
        let last = put(&mut client, "mallory", "f", Content::new(3, 30)).await?;
        let request = request(&first.sequence, &last.sequence);
        let planned = undo(&mut client, &v1::UndoRequest { dry_run: true, ..request.clone() }).await?;
        let done = undo(&mut client, &request).await?;
        assert_eq!(told(&planned), told(&done));
        assert!(done.len() == 12 && done.iter().all(|step| step.undone), "{:?}", told(&done));
        assert_eq!(client.get("f").await?, Content::new(1, 10).bytes());
        cluster.verify().await
    });
}

#[test]
fn what_others_built_on_a_change_keeps_it() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let mkdir =
                v1::CreateFolderRequest { path: "d".to_owned(), actor: "mallory".to_owned(), ..Default::default() };
            let first = client.files.create_folder(mkdir).await?.into_inner().receipt.context("no receipt")?;
            put(&mut client, "mallory", "d/theirs", Content::new(1, 10)).await?;
            put(&mut client, "alice", "d/mine", Content::new(2, 20)).await?;
            let rm =
                v1::DeleteRequest { path: "d/theirs".to_owned(), actor: "mallory".to_owned(), ..Default::default() };
            client.delete_if(rm).await?;
            put(&mut client, "alice", "d/theirs", Content::new(3, 30)).await?;
            let last = client.mv("d/mine", "d/other", OnConflict::Fail).await?;
            let request = request(&first.sequence, &last.sequence);
            let planned = undo(&mut client, &v1::UndoRequest { dry_run: true, ..request.clone() }).await?;
            let done = undo(&mut client, &request).await?;
            assert_eq!(told(&planned), told(&done));
            let expected = [
                ("d/theirs is the name of something else by now".to_owned(), false),
                ("d/theirs does not name it any more".to_owned(), false),
                ("the folder d is not empty".to_owned(), false),
            ];
            assert_eq!(told(&done), expected);
            assert_eq!(client.ls("d").await?, ["other", "theirs"]);
            Ok(())
        },
    );
}

#[test]
fn an_undo_that_found_nothing_to_undo_is_remembered() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let change = put(&mut client, "mallory", "f", Content::new(2, 20)).await?;
            let moved = client.mv("f", "elsewhere", OnConflict::Fail).await?;
            let request = request(&change.sequence, &change.sequence);
            let first = undo(&mut client, &request).await?;
            assert_eq!(told(&first), [("f does not name it any more".to_owned(), false)]);
            // Then it could be undone after all.
            client.mv("elsewhere", "f", OnConflict::Fail).await?;
            let dry = undo(&mut client, &v1::UndoRequest { dry_run: true, ..request.clone() }).await?;
            assert!(dry[0].undone, "{dry:?}");
            for again in 0..2 {
                assert_eq!(undo(&mut client, &request).await?, first);
                let other = v1::UndoRequest { to_sequence: moved.sequence.clone(), ..request.clone() };
                let reused = undo(&mut client, &other).await.unwrap_err();
                assert_eq!((reused.code(), reason_of(&reused).as_str()), (Code::AlreadyExists, "request_id_reused"));
                if again == 0 {
                    cluster.stack.restart("gateway").await?;
                    let rebuilt = cluster.projector(&["rebuild", "--switch"]).await?;
                    ensure!(rebuilt.status.success(), "{rebuilt:?}");
                    client = cluster.client().await?;
                }
            }
            assert_eq!(client.get("f").await?, Content::new(2, 20).bytes());
            let another = undo(&mut client, &v1::UndoRequest { request_id: "another".to_owned(), ..request }).await?;
            assert!(another[0].undone, "{another:?}");
            cluster.verify().await
        },
    );
}
