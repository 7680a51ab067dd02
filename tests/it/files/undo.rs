//! Undoing what somebody did.

use anyhow::Context as _;
use proto::v1::{self, Receipt, UploadMetadata};
use tests::{Client, Content, chunks, run};

async fn put(client: &mut Client, actor: &str, path: &str, content: Content) -> anyhow::Result<Receipt> {
    let about = UploadMetadata { path: path.to_owned(), actor: actor.to_owned(), ..Default::default() };
    Ok(client.upload(about, chunks(content)).await?)
}

async fn undo(client: &mut Client, dry_run: bool, from: &str, to: &str) -> anyhow::Result<Vec<v1::UndoStep>> {
    let request = v1::UndoRequest {
        of_actor: "mallory".to_owned(),
        from_sequence: from.to_owned(),
        to_sequence: to.to_owned(),
        dry_run,
        actor: "admin".to_owned(),
        ..Default::default()
    };
    Ok(client.files.undo(request).await?.into_inner().steps)
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
            let before = client.status().await?.journal.context("no journal")?.head;
            let planned = undo(&mut client, true, &first.sequence, &last.sequence).await?;
            cluster.settle().await;
            assert_eq!(client.changes(&before).await?, [], "a dry run changes nothing");
            let done = undo(&mut client, false, &first.sequence, &last.sequence).await?;
            let told = |steps: &[v1::UndoStep]| -> Vec<(String, bool)> {
                steps.iter().map(|step| (step.action.clone(), step.undone)).collect()
            };
            assert_eq!(told(&planned), told(&done), "the dry run says what is done");
            assert_eq!(done.iter().filter(|step| step.undone).count(), 5, "{done:#?}");
            let refused: Vec<&str> = done.iter().filter(|step| !step.undone).map(|step| step.action.as_str()).collect();
            assert_eq!(refused, ["keep was changed again since"]);
            assert_eq!(client.ls("").await?, ["hidden/", "keep", "plan", "report"]);
            assert_eq!(client.get("report").await?, Content::new(1, 10).bytes());
            assert_eq!(client.get("plan").await?, Content::new(2, 20).bytes());
            assert_eq!(client.get("keep").await?, Content::new(8, 80).bytes());
            cluster.verify().await
        },
    );
}
