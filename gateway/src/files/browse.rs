//! Looking around: one folder, what is below it, the history of a file, the trash, and the past.

use catalog::{FolderListing, FolderLookup, FolderPage, Lookup, TrashPage, Usage, UsageLookup, VersionPage};
use proto::{FileId, Path, Sequence, SpaceName};

use super::request::{At, Place};
use super::tree::{folder_not_found, not_a_folder};
use super::{Files, space_not_found};
use crate::error::{Code, Error, Result};

/// Which folder is asked for, and which part of its names.
#[derive(Debug, Clone)]
pub(crate) struct Browse {
    pub(crate) space: SpaceName,
    /// None for the space's root.
    pub(crate) folder: Option<Path>,
    pub(crate) at: Option<At>,
    pub(crate) page_size: u32,
    pub(crate) page_token: String,
    pub(crate) at_least: Option<Sequence>,
}

impl Files {
    /// A page of the names in one folder.
    pub(crate) async fn browse(&self, wanted: &Browse) -> Result<FolderPage> {
        let limit = self.page_size(wanted.page_size)?;
        let at = self.point(wanted.at, wanted.at_least).await?;
        let Browse { space, folder, page_token, .. } = wanted;
        let listing = FolderListing { space, folder: folder.as_ref(), at, limit, page_token };
        match self.catalog().list_folder(listing).await? {
            FolderLookup::Page(page) => Ok(page),
            FolderLookup::NoSpace => Err(space_not_found(space)),
            FolderLookup::NoFolder => Err(no_folder(space, folder.as_ref())),
            FolderLookup::NotAFolder => Err(a_file(space, folder.as_ref())),
        }
    }

    /// Counts everything below a folder.
    pub(crate) async fn usage(
        &self,
        space: &SpaceName,
        folder: Option<&Path>,
        at_least: Option<Sequence>,
    ) -> Result<Usage> {
        self.reach(at_least).await?;
        match self.catalog().usage(space, folder).await? {
            UsageLookup::Usage(usage) => Ok(usage),
            UsageLookup::NoSpace => Err(space_not_found(space)),
            UsageLookup::NoFolder => Err(no_folder(space, folder)),
            UsageLookup::NotAFolder => Err(a_file(space, folder)),
        }
    }

    /// The file at a path whose history is asked for.
    pub(crate) async fn file_id(&self, place: &Place, at_least: Option<Sequence>) -> Result<FileId> {
        self.reach(at_least).await?;
        match self.catalog().file(&place.space, &place.path, None, None).await? {
            Lookup::File(file) => Ok(file.file_id),
            Lookup::NoVersion(file_id) | Lookup::Pruned(file_id) => Ok(file_id),
            Lookup::NoSpace => Err(space_not_found(&place.space)),
            Lookup::NoFile => Err(super::read::file_not_found(&place.space, &place.path)),
            Lookup::Folder(_) => {
                let problem = format!("{:?} is a folder, which has no versions", place.path.as_str());
                Err(Error::new(Code::NotAFile, problem))
            }
        }
    }

    /// Versions of a file, newest first.
    pub(crate) async fn versions(
        &self,
        file_id: FileId,
        page_size: u32,
        page_token: &str,
        at_least: Option<Sequence>,
    ) -> Result<VersionPage> {
        let limit = self.page_size(page_size)?;
        self.reach(at_least).await?;
        let page = self.catalog().versions(file_id, limit, page_token).await?;
        page.ok_or_else(|| Error::new(Code::FileNotFound, "there is no file with this id"))
    }

    /// What is in the trash, newest first.
    pub(crate) async fn trash(
        &self,
        space: &SpaceName,
        page_size: u32,
        page_token: &str,
        at_least: Option<Sequence>,
    ) -> Result<TrashPage> {
        let limit = self.page_size(page_size)?;
        self.reach(at_least).await?;
        let space_id = self.space(space).await?;
        Ok(self.catalog().trash(space_id, limit, page_token).await?)
    }

    /// The sequence number of a point in the past; none for now. What is not folded yet is waited for.
    pub(crate) async fn point(&self, at: Option<At>, at_least: Option<Sequence>) -> Result<Option<u64>> {
        self.reach(at_least).await?;
        match at {
            None => Ok(None),
            Some(At::Sequence(sequence)) => {
                self.reach(Some(sequence)).await?;
                Ok(Some(sequence.n))
            }
            Some(At::Time(time)) => Ok(Some(self.catalog().sequence_at(time).await?)),
        }
    }
}

fn no_folder(space: &SpaceName, folder: Option<&Path>) -> Error {
    folder.map_or_else(|| space_not_found(space), |folder| folder_not_found(space, folder))
}

fn a_file(space: &SpaceName, folder: Option<&Path>) -> Error {
    folder.map_or_else(|| space_not_found(space), not_a_folder)
}
