//! What is there at the end: every version of every file, in the trash too, and nothing else.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use proto::v1::{self, EntryKind, Outcome, VersionKind};
use proto::{FileId, Sha256Digest, SpaceId};
use tests::{Client, digest_of, reason_of};

use super::model::{self, File, Model};
use super::operation::Asked;

/// Questions under way at once.
const AT_ONCE: usize = 16;
/// Of the bytes of so many applied uploads, one is read.
const BYTES_OF_EACH: usize = 8;

/// The files that have a name, those in the trash, and the versions of both are those of the model.
pub(super) async fn are_those_of(client: &Client, model: &Model) -> anyhow::Result<()> {
    let mut reader = client.clone();
    let page = reader.files.list_files(v1::ListFilesRequest { page_size: 10_000, ..Default::default() }).await?;
    let (listing, page) = (model.listing(), page.into_inner());
    let expected = model::listing_of(listing.iter().map(|(path, place)| (path.as_str(), *place)));
    ensure!(model::listing_of_files(&page.files)? == expected, "{:?} instead of {listing:?}", page.files);
    let deleted_files = model.files.iter().filter(|(_, file)| file.is_deleted).map(|(id, _)| id.to_string());
    let expected: BTreeSet<String> =
        deleted_files.chain(model.deleted_folders.iter().map(ToString::to_string)).collect();
    let trash = trash(&mut reader).await?;
    ensure!(trash == expected, "the trash lacks or invents {:?}", trash.symmetric_difference(&expected));
    let all = futures::stream::iter(&model.files).map(|(id, file)| versions_are_those_of(client.clone(), *id, file));
    all.buffer_unordered(AT_ONCE).try_collect::<()>().await
}

async fn trash(client: &mut Client) -> anyhow::Result<BTreeSet<String>> {
    let (mut all, mut page_token) = (BTreeSet::new(), String::new());
    loop {
        let page = client.files.list_trash(v1::ListTrashRequest { page_token, ..Default::default() }).await?;
        let page = page.into_inner();
        for entry in page.entries {
            let id = if entry.kind() == EntryKind::Folder { entry.folder_id } else { entry.file_id };
            ensure!(all.insert(id.clone()), "{id} is in the trash twice");
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(all);
        }
    }
}

async fn versions_are_those_of(mut client: Client, id: FileId, file: &File) -> anyhow::Result<()> {
    let request = v1::ListVersionsRequest { file_id: id.to_string(), page_size: 10_000, ..Default::default() };
    let page = client.files.list_versions(request).await.with_context(|| id.to_string())?.into_inner();
    let expected = file.versions.iter().rev();
    let found = page.versions.iter().map(|version| {
        let is_tombstone = version.kind() == VersionKind::Tombstone;
        let content = (!is_tombstone).then(|| Sha256Digest::try_from(&version.sha256[..])).transpose()?;
        anyhow::Ok(model::Version { id: version.version_id.parse()?, content })
    });
    let found = found.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(expected.eq(&found), "{id} has {found:?} instead of {:?}", file.versions);
    Ok(())
}

/// No version, in the trash or not, has what was rejected or refused.
pub(super) fn have_nothing_rejected(model: &Model, asked: &[&Asked]) -> anyhow::Result<()> {
    let versions = model.files.values().flat_map(|file| &file.versions);
    let contents: HashSet<Sha256Digest> = versions.filter_map(|version| version.content).collect();
    let uploads = asked.iter().filter(|asked| asked.operation.kind.is_upload());
    let mut applied = 0;
    for asked in uploads {
        let is_applied = asked.answer.as_ref().is_ok_and(|receipt| receipt.outcome() == Outcome::Applied);
        let is_there = contents.contains(&digest_of(asked.operation.request_id.as_bytes()));
        ensure!(is_there == is_applied, "{asked:?}");
        applied += usize::from(is_applied);
    }
    ensure!(applied == contents.len(), "{applied} uploads were applied and {} contents are there", contents.len());
    Ok(())
}

/// What applied uploads sent is what is read at their sequence, however often the file was overwritten, moved and deleted
/// since.
pub(super) async fn are_what_was_sent(client: &Client, asked: &[&Asked]) -> anyhow::Result<()> {
    let applied = asked.iter().filter_map(|asked| match &asked.answer {
        Ok(receipt) if receipt.outcome() == Outcome::Applied && asked.operation.kind.is_upload() => {
            Some((receipt, asked))
        }
        Ok(_) | Err(_) => None,
    });
    let read = async |(receipt, asked): (&v1::Receipt, &&Asked)| {
        let request =
            v1::DownloadRequest { path: receipt.path.clone(), at: receipt.sequence.clone(), ..Default::default() };
        let (header, bytes) = client.clone().download(request).await.with_context(|| format!("{receipt:?}"))?;
        let version = header.version.unwrap_or_default();
        ensure!(version.version_id == receipt.version_id, "{version:?} instead of {receipt:?}");
        ensure!(bytes == asked.operation.request_id, "{bytes:?} instead of {asked:?}");
        Ok(())
    };
    futures::stream::iter(applied.step_by(BYTES_OF_EACH)).map(read).buffer_unordered(AT_ONCE).try_collect::<()>().await
}

/// What was refused before it became an event never became one.
pub(super) async fn refusals_have_no_receipt(
    client: &Client,
    space_id: SpaceId,
    asked: &[&Asked],
) -> anyhow::Result<()> {
    let refused = asked.iter().filter(|asked| asked.answer.is_err());
    let ask = async |asked: &&Asked| {
        let event_id = asked.operation.event_id(space_id).to_string();
        let request = v1::GetReceiptRequest { event_id, ..Default::default() };
        let answer = client.clone().files.get_receipt(request).await;
        ensure!(
            answer.as_ref().is_err_and(|status| reason_of(status) == "receipt_not_found"),
            "{asked:?} was refused, and then {answer:?}"
        );
        Ok(())
    };
    futures::stream::iter(refused).map(ask).buffer_unordered(AT_ONCE).try_collect::<()>().await
}
