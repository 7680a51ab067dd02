//! Requests with one id at the same time: one change, and one answer for all who ask.

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use proto::v1::{self, Outcome, Receipt};
use tests::{Client, Cluster, Content, chunks, metadata, run};
use tonic::Status;

/// How many ask at once.
const CROWD: usize = 8;
/// What is asked for so often, each time about something else: the first to ask must be met in the middle of it.
const ROUNDS: u64 = 4;

/// Clients with a connection each.
async fn crowd(cluster: &Cluster) -> anyhow::Result<Vec<Client>> {
    try_join_all((0..CROWD).map(async |_| cluster.client().await)).await
}

/// All ask for the same; the one receipt that all are answered.
async fn all_ask(
    crowd: &[Client],
    ask: impl AsyncFn(Client) -> Result<Option<Receipt>, Status>,
) -> anyhow::Result<Receipt> {
    let mut receipts = try_join_all(crowd.iter().map(|client| ask(client.clone()))).await?;
    receipts.dedup();
    ensure!(receipts.len() == 1, "{receipts:?}");
    receipts.pop().flatten().context("an answer without a receipt")
}

#[test]
fn uploads_with_one_id_at_the_same_time_are_one_change() {
    run(
        |b| b,
        async |cluster| {
            let crowd = crowd(cluster).await?;
            let receipt = all_ask(&crowd, async |mut client| {
                let about = v1::UploadMetadata { request_id: "once".to_owned(), ..metadata("same") };
                client.upload(about, chunks(Content::new(1, 50_000))).await.map(Some)
            });
            assert_eq!(receipt.await?.outcome(), Outcome::Applied);
            let mut client = cluster.client().await?;
            assert_eq!(client.versions("same").await?.len(), 1);
            cluster.verify().await
        },
    );
}

/// Who comes late finds the old path empty, or the trash, and is answered all the same.
#[test]
fn moves_deletes_and_undeletes_with_one_id_at_the_same_time_are_one_change() {
    run(
        |b| b,
        async |cluster| {
            let (crowd, mut client) = (crowd(cluster).await?, cluster.client().await?);
            for round in 0..ROUNDS {
                let (from, to, request_id) = (format!("old {round}"), format!("new {round}"), format!("once {round}"));
                // Files and folders by turns.
                let (below, content) = (if round % 2 == 0 { "" } else { "/f" }, Content::new(round, 10));
                let put = client.put(&format!("{from}{below}"), content).await?;
                let mv = v1::MoveRequest {
                    from,
                    to: to.clone(),
                    request_id: request_id.clone() + " mv",
                    ..Default::default()
                };
                let moved =
                    all_ask(&crowd, async |mut client| Ok(client.files.r#move(mv.clone()).await?.into_inner().receipt));
                let moved = moved.await.with_context(|| format!("move in round {round}"))?;
                assert_eq!((moved.outcome(), &moved.path), (Outcome::Applied, &to));
                let rm = v1::DeleteRequest {
                    path: to.clone(),
                    recursive: true,
                    request_id: request_id.clone() + " rm",
                    ..Default::default()
                };
                let removed = all_ask(&crowd, async |mut client| client.delete_if(rm.clone()).await.map(Some));
                let removed = removed.await.with_context(|| format!("delete in round {round}"))?;
                assert_eq!(removed.outcome(), Outcome::Applied);
                let [v1::TrashEntry { file_id, folder_id, .. }] = &client.trash().await?[..] else {
                    anyhow::bail!("what was deleted is not in the trash, or not alone");
                };
                let back = v1::UndeleteRequest {
                    file_id: file_id.clone(),
                    folder_id: folder_id.clone(),
                    request_id: request_id + " back",
                    ..Default::default()
                };
                let back = all_ask(&crowd, async |mut client| client.undelete(back.clone()).await.map(Some));
                let back = back.await.with_context(|| format!("undelete in round {round}"))?;
                assert_eq!((back.outcome(), &back.path), (Outcome::Applied, &to));
                assert_eq!(client.get(&format!("{to}{below}")).await?, content.bytes());
                let changes: Vec<_> =
                    client.changes(&put.sequence).await?.into_iter().map(|one| one.sequence).collect();
                assert_eq!(changes, [moved.sequence, removed.sequence, back.sequence]);
            }
            cluster.verify().await
        },
    );
}

#[test]
fn changes_of_spaces_with_one_id_at_the_same_time_are_one_change() {
    run(
        |b| b,
        async |cluster| {
            let (crowd, mut client) = (crowd(cluster).await?, cluster.client().await?);
            for round in 0..ROUNDS {
                let (space, new_name) = (format!("old {round}"), format!("new {round}"));
                client.create_space(&space).await?;
                let rename = v1::RenameSpaceRequest {
                    space,
                    new_name: new_name.clone(),
                    request_id: format!("rename {round}"),
                    ..Default::default()
                };
                let renamed = all_ask(&crowd, async |mut client| {
                    Ok(client.files.rename_space(rename.clone()).await?.into_inner().receipt)
                });
                let renamed = renamed.await.with_context(|| format!("rename in round {round}"))?;
                assert_eq!((renamed.outcome(), &renamed.space), (Outcome::Applied, &new_name));
                let delete = v1::DeleteSpaceRequest {
                    space: new_name,
                    request_id: format!("delete {round}"),
                    ..Default::default()
                };
                let deleted = all_ask(&crowd, async |mut client| {
                    Ok(client.files.delete_space(delete.clone()).await?.into_inner().receipt)
                });
                let deleted = deleted.await.with_context(|| format!("delete in round {round}"))?;
                assert_eq!(deleted.outcome(), Outcome::Applied);
            }
            let left = client.files.list_spaces(v1::ListSpacesRequest::default()).await?.into_inner().spaces;
            assert_eq!(left.iter().map(|space| space.name.as_str()).collect::<Vec<_>>(), ["main"]);
            cluster.verify().await
        },
    );
}
