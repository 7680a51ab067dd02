//! Changes of the tree: folders, and files and folders that are deleted, moved, copied and brought back.

use catalog::Trashed;
use proto::{
    Fact, FileCopied, FileDeleted, FileMoved, FileUndeleted, FolderCreated, FolderDeleted, Item, OnConflict, Path,
    SpaceId, SpaceName, VersionId,
};

use super::change::UNKNOWN_ITEM;
use super::request::{Author, Place};
use super::{Files, Receipt};
use crate::error::{Code, Error, Result};

/// A move that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Move {
    pub(crate) space: SpaceName,
    pub(crate) from: Path,
    pub(crate) to: Path,
    pub(crate) on_conflict: OnConflict,
    pub(crate) if_version: Option<VersionId>,
}

/// A copy that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) space: SpaceName,
    pub(crate) from: Path,
    pub(crate) to: Path,
    /// Which version; none for the current one.
    pub(crate) version_id: Option<VersionId>,
    pub(crate) on_conflict: OnConflict,
    /// About the file at `to`.
    pub(crate) if_version: Option<VersionId>,
}

/// Something in the trash that shall come back.
#[derive(Debug, Clone)]
pub(crate) struct Undelete {
    pub(crate) space: SpaceName,
    pub(crate) item: Item,
    /// Where to; none for where it was.
    pub(crate) path: Option<Path>,
    pub(crate) on_conflict: OnConflict,
}

impl Files {
    /// Makes a folder, and those on the way to it.
    pub(crate) async fn create_folder(&self, place: Place, author: Author) -> Result<Receipt> {
        let space_id = self.space_of(&place.space, &author).await?;
        let fact = Fact::FolderCreated(FolderCreated { space_id, space: place.space, path: place.path });
        let (asked, first) = self.ask(author, space_id).await?;
        match first {
            Some(first) => self.answer_first(first, &[fact]).await,
            None => self.change(asked, fact).await,
        }
    }

    /// Puts a file, or a folder with all that is in it, into the trash.
    pub(crate) async fn delete(
        &self,
        place: Place,
        recursive: bool,
        if_version: Option<VersionId>,
        author: Author,
    ) -> Result<Receipt> {
        let Place { space, path } = place;
        let space_id = self.space_of(&space, &author).await?;
        let fact = |item| match item {
            Item::File(file_id) => Fact::FileDeleted(FileDeleted {
                space_id,
                space: space.clone(),
                path: path.clone(),
                file_id,
                if_version,
            }),
            Item::Folder(folder_id) => Fact::FolderDeleted(FolderDeleted {
                space_id,
                space: space.clone(),
                path: path.clone(),
                folder_id,
                recursive,
            }),
        };
        let answer =
            async |first| self.answer_first(first, &[fact(UNKNOWN_ITEM), fact(Item::Folder(space_id.root()))]).await;
        let (asked, first) = self.ask(author, space_id).await?;
        if let Some(first) = first {
            return answer(first).await;
        }
        let item = match self.item(&space, &path).await {
            Ok(item) => item,
            Err(not_found) => return self.unless_decided(&asked, not_found, answer).await,
        };
        if matches!(item, Item::Folder(_)) && if_version.is_some() {
            return Err(not_a_file(&path));
        }
        self.change(asked, fact(item)).await
    }

    /// Moves or renames a file or a folder.
    pub(crate) async fn move_item(&self, wanted: Move, author: Author) -> Result<Receipt> {
        let Move { space, from, to, on_conflict, if_version } = wanted;
        let space_id = self.space_of(&space, &author).await?;
        let fact = |item| {
            let (space, from, to) = (space.clone(), from.clone(), to.clone());
            Fact::FileMoved(FileMoved { space_id, space, from, to, item, if_version, on_conflict })
        };
        let answer = async |first| self.answer_first(first, &[fact(UNKNOWN_ITEM)]).await;
        let (asked, first) = self.ask(author, space_id).await?;
        if let Some(first) = first {
            return answer(first).await;
        }
        let item = match self.item(&space, &from).await {
            Ok(item) => item,
            Err(not_found) => return self.unless_decided(&asked, not_found, answer).await,
        };
        if matches!(item, Item::Folder(_)) && if_version.is_some() {
            return Err(not_a_file(&from));
        }
        self.change(asked, fact(item)).await
    }

    /// Makes a new file, or a new version, with the content of a file. No bytes are copied.
    pub(crate) async fn copy(&self, wanted: Copy, author: Author) -> Result<Receipt> {
        let Copy { space, from, to, version_id, on_conflict, if_version } = wanted;
        let space_id = self.space_of(&space, &author).await?;
        let fact = |file_id, version_id| {
            let (space, from, to) = (space.clone(), from.clone(), to.clone());
            Fact::FileCopied(FileCopied { space_id, space, from, to, file_id, version_id, if_version, on_conflict })
        };
        let (asked, first) = self.ask(author, space_id).await?;
        if let Some(first) = first {
            let Fact::FileCopied(copied) = self.first_fact(&first).await? else {
                return Err(super::publish::reused());
            };
            // Which version was copied is part of the request only when the client named it.
            if version_id.is_some_and(|wanted| wanted != copied.version_id) {
                return Err(super::publish::reused());
            }
            return self.answer_first(first, &[fact(copied.file_id, copied.version_id)]).await;
        }
        let place = Place { space: space.clone(), path: from.clone() };
        let file = self.file(&place, version_id, None, None).await?;
        self.change(asked, fact(file.file_id, file.version.row.version_id)).await
    }

    /// Brings a file or a folder back from the trash.
    pub(crate) async fn undelete(&self, wanted: Undelete, author: Author) -> Result<Receipt> {
        let Undelete { space, item, path, on_conflict } = wanted;
        let space_id = self.space_of(&space, &author).await?;
        let fact = |path: Path, version_id| {
            let space = space.clone();
            Fact::FileUndeleted(FileUndeleted { space_id, space, path, item, version_id, on_conflict })
        };
        let answer = async |first| {
            let Fact::FileUndeleted(undeleted) = self.first_fact(&first).await? else {
                return Err(super::publish::reused());
            };
            // Where it was is no part of the request.
            let path = path.clone().unwrap_or(undeleted.path);
            self.answer_first(first, &[fact(path, None)]).await
        };
        let (asked, first) = self.ask(author, space_id).await?;
        if let Some(first) = first {
            return answer(first).await;
        }
        let trashed = match self.trashed(space_id, item).await {
            Ok(trashed) => trashed,
            Err(not_found) => return self.unless_decided(&asked, not_found, answer).await,
        };
        let version_id = match (item, &trashed.content) {
            (Item::File(_), Some(content)) => Some(content.row.version_id),
            (Item::File(_), None) => {
                let problem = "the content of the file was given up by the space's retention";
                return Err(Error::new(Code::VersionPruned, problem));
            }
            (Item::Folder(_), _) => None,
        };
        self.change(asked, fact(path.clone().unwrap_or(trashed.path), version_id)).await
    }

    /// Makes a new version of a file with the content of an older one.
    pub(crate) async fn restore(
        &self,
        place: Place,
        version_id: VersionId,
        if_version: Option<VersionId>,
        author: Author,
    ) -> Result<Receipt> {
        let space_id = self.space_of(&place.space, &author).await?;
        let (asked, first) = self.ask(author, space_id).await?;
        let fact = |file_id| {
            let Place { space, path } = place.clone();
            Fact::VersionRestored(proto::VersionRestored { space_id, space, path, file_id, version_id, if_version })
        };
        if let Some(first) = first {
            let Item::File(nobody) = UNKNOWN_ITEM else { return Err(super::publish::reused()) };
            return self.answer_first(first, &[fact(nobody)]).await;
        }
        let file = self.file(&place, Some(version_id), None, None).await?;
        self.change(asked, fact(file.file_id)).await
    }

    async fn trashed(&self, space_id: SpaceId, item: Item) -> Result<Trashed> {
        let trashed = self.catalog().trashed(space_id, item).await?;
        trashed.ok_or_else(|| Error::new(Code::TrashNotFound, "nothing in the trash of the space has this id"))
    }
}

/// Something was asked of a folder that only a file has.
fn not_a_file(path: &Path) -> Error {
    Error::new(Code::NotAFile, format!("{:?} is a folder, which has no versions", path.as_str()))
}

/// Something was asked of a file that only a folder has.
pub(super) fn not_a_folder(path: &Path) -> Error {
    Error::new(Code::NotAFolder, format!("{:?} is a file", path.as_str()))
}

pub(super) fn folder_not_found(space: &SpaceName, path: &Path) -> Error {
    let problem = format!("there is no folder {:?} in the space {:?}", path.as_str(), space.as_str());
    Error::new(Code::FolderNotFound, problem)
}
