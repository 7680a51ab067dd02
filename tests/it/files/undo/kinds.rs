//! Every kind of change: the dry run says what is done, and after it the tree is as it was before.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use proto::v1::{self, EntryKind, OnConflict, UploadMetadata};
use tests::{Client, Cluster, Content, chunks, run};

use super::{head, told, undo};

/// All that is in `main`: folders with a slash at their end, files with their digests.
async fn tree(client: &mut Client) -> anyhow::Result<BTreeMap<String, String>> {
    let (mut tree, mut folders) = (BTreeMap::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in client.entries(&folder, "", 1000).await? {
            let path = if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
            if entry.kind() == EntryKind::Folder {
                tree.insert(format!("{path}/"), entry.folder_id.clone());
                folders.push(path);
            } else {
                tree.insert(path, format!("{} {:x?}", entry.file_id, entry.sha256));
            }
        }
    }
    Ok(tree)
}

/// The next sequence.
fn after(sequence: &str) -> anyhow::Result<String> {
    let (incarnation, n) = sequence.rsplit_once('-').context("no sequence")?;
    Ok(format!("{incarnation}-{}", n.parse::<u64>()? + 1))
}

/// Undoes what `changes` does; the steps must be so many, and all done.
async fn as_before(
    cluster: &Cluster,
    steps: usize,
    changes: impl AsyncFnOnce(&mut Client) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut client = cluster.client().await?;
    cluster.settle_catalog().await;
    let (before, from) = (tree(&mut client).await?, after(&head(&mut client).await?)?);
    changes(&mut client).await?;
    cluster.settle_catalog().await;
    let after_them = tree(&mut client).await?;
    let mut request = super::request(&from, &head(&mut client).await?);
    "anonymous".clone_into(&mut request.of_actor);
    let planned = undo(&mut client, &v1::UndoRequest { dry_run: true, ..request.clone() }).await?;
    ensure!(tree(&mut client).await? == after_them, "a dry run changes nothing");
    let done = undo(&mut client, &request).await?;
    ensure!(told(&planned) == told(&done), "the dry run said {planned:#?}, done is {done:#?}");
    ensure!(done.len() == steps && done.iter().all(|step| step.undone), "{done:#?}");
    let now = tree(&mut client).await?;
    ensure!(now == before, "{now:#?} instead of {before:#?}, after {:#?}", told(&done));
    let again = undo(&mut client, &request).await?;
    ensure!(again == done, "{again:#?} instead of {done:#?}");
    Ok(())
}

async fn keep_both(client: &mut Client, path: &str, content: Content) -> anyhow::Result<v1::Receipt> {
    let on_conflict = OnConflict::KeepBoth.into();
    let about = UploadMetadata { path: path.to_owned(), on_conflict, ..Default::default() };
    Ok(client.upload(about, chunks(content)).await?)
}

#[test]
fn versions_are_undone() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            let one = client.put("f", Content::new(1, 10)).await?;
            client.put("f", Content::new(2, 20)).await?;
            client.put("g", Content::new(3, 30)).await?;
            as_before(cluster, 2, async |client| {
                client.cp("f", "new", OnConflict::Fail).await?;
                client.cp("f", "g", OnConflict::Overwrite).await?;
                Ok(())
            })
            .await
            .context("copies")?;
            as_before(cluster, 2, async |client| {
                client.restore("f", &one.version_id).await?;
                client.put("f", Content::new(4, 40)).await?;
                Ok(())
            })
            .await
            .context("a restored version")?;
            as_before(cluster, 3, async |client| {
                let kept = keep_both(client, "f", Content::new(5, 50)).await?;
                ensure!(kept.path != "f", "{kept:?}");
                client.put(&kept.path, Content::new(6, 60)).await?;
                client.mv("f", &kept.path, OnConflict::KeepBoth).await?;
                Ok(())
            })
            .await
            .context("conflicted copies")?;
            as_before(cluster, 5, async |client| {
                let put = client.put("f", Content::new(7, 70)).await?;
                client.delete("f").await?;
                client.undelete_file(&put.file_id).await?;
                client.delete("f").await?;
                client.undelete_file(&put.file_id).await?;
                Ok(())
            })
            .await
            .context("a file that is deleted and comes back")?;
            let gone = client.put("gone", Content::new(8, 80)).await?;
            client.delete("gone").await?;
            as_before(cluster, 2, async |client| {
                client.undelete_file(&gone.file_id).await?;
                client.mv("gone", "here", OnConflict::Fail).await?;
                Ok(())
            })
            .await
            .context("an undeleted file")?;
            cluster.verify().await
        },
    );
}

#[test]
fn what_was_replaced_comes_back() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("f", Content::new(1, 10)).await?;
            client.put("g", Content::new(2, 20)).await?;
            let gone = client.put("gone", Content::new(3, 30)).await?;
            client.delete("gone").await?;
            client.put("gone", Content::new(4, 40)).await?;
            // Each of the replacing changes has two steps.
            as_before(cluster, 5, async |client| {
                client.put("g", Content::new(5, 50)).await?;
                client.mv("f", "g", OnConflict::Overwrite).await?;
                let request = v1::UndeleteRequest {
                    file_id: gone.file_id.clone(),
                    on_conflict: OnConflict::Overwrite.into(),
                    ..Default::default()
                };
                client.undelete(request).await?;
                Ok(())
            })
            .await?;
            assert_eq!(client.get("gone").await?, Content::new(4, 40).bytes());
            cluster.verify().await
        },
    );
}

#[test]
fn changes_of_folders_are_undone() {
    run(
        |b| b,
        async |cluster| {
            let mut client = cluster.client().await?;
            client.put("a/b/f", Content::new(1, 10)).await?;
            client.put("a/g", Content::new(2, 20)).await?;
            client.mkdir("old").await?;
            as_before(cluster, 6, async |client| {
                client.mkdir("new").await?;
                client.mkdir("new/inner").await?;
                client.put("new/inner/f", Content::new(3, 30)).await?;
                client.mv("a/g", "new/g", OnConflict::Fail).await?;
                client.mv("new/g", "new/inner/g", OnConflict::Fail).await?;
                client.mv("new/inner", "new/renamed", OnConflict::Fail).await?;
                Ok(())
            })
            .await
            .context("new folders with something in them")?;
            as_before(cluster, 5, async |client| {
                client.put("a/b/f", Content::new(4, 40)).await?;
                client.mv("a/b", "old/b", OnConflict::Fail).await?;
                client.put("old/b/f", Content::new(5, 50)).await?;
                client.mv("old", "older", OnConflict::Fail).await?;
                client.put("older/b/f", Content::new(6, 60)).await?;
                Ok(())
            })
            .await
            .context("folders that were moved")?;
            as_before(cluster, 4, async |client| {
                client.put("a/b/f", Content::new(7, 70)).await?;
                client.delete("a/g").await?;
                client.delete_tree("a").await?;
                client.delete("old").await?;
                Ok(())
            })
            .await
            .context("deleted folders")?;
            as_before(cluster, 5, async |client| {
                client.put("a/new", Content::new(8, 80)).await?;
                client.delete_tree("a").await?;
                let folder_id = client.trash().await?[0].folder_id.clone();
                client.undelete(v1::UndeleteRequest { folder_id, ..Default::default() }).await?;
                client.put("a/new", Content::new(9, 90)).await?;
                client.mv("a", "b", OnConflict::Fail).await?;
                Ok(())
            })
            .await
            .context("a folder that came back")?;
            cluster.verify().await
        },
    );
}
