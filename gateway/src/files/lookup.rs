//! Listing files, and what happened to one.

use catalog::{Event, Listed, Listing};
use proto::{Path, Sequence, SpaceName};

use super::request::{self, Place};
use super::{Files, space_not_found};
use crate::error::{Code, Error, Result};

/// A page of a listing.
#[derive(Debug)]
pub(crate) struct Page {
    /// The files, in the byte order of their paths.
    pub(crate) files: Vec<Listed>,
    /// What to ask the next page with; empty on the last one.
    pub(crate) next_page_token: String,
}

/// A page of events.
#[derive(Debug)]
pub(crate) struct EventPage {
    /// The events, in the order of the journal.
    pub(crate) events: Vec<Event>,
    /// What to ask the next page with; empty on the last one.
    pub(crate) next_page_token: String,
}

impl Files {
    /// A page of the files under a folder, or in the whole space.
    pub(crate) async fn list(
        &self,
        space: &SpaceName,
        folder: Option<&Path>,
        page_size: u32,
        page_token: &str,
        at_least: Option<Sequence>,
    ) -> Result<Page> {
        let page_size = self.page_size(page_size)?;
        self.reach(at_least).await?;
        match self.catalog().list(space, folder, page_size, page_token).await? {
            Listing::Page { files, next_page_token } => Ok(Page { files, next_page_token }),
            Listing::NoFolder => {
                let folder = folder.map(Path::as_str).unwrap_or_default();
                let problem = format!("there is no folder {folder:?} in the space {:?}", space.as_str());
                Err(Error::new(Code::FolderNotFound, problem))
            }
            Listing::NoSpace => Err(space_not_found(space)),
        }
    }

    /// A page of the events that concern a file.
    pub(crate) async fn events(
        &self,
        place: &Place,
        page_size: u32,
        page_token: &str,
        at_least: Option<Sequence>,
    ) -> Result<EventPage> {
        let page_size = self.page_size(page_size)?;
        let file = self.file(place, None, None, at_least).await?;
        let page = self.catalog().events(file.file_id, page_size, page_token).await?;
        Ok(EventPage { events: page.events, next_page_token: page.next_page_token })
    }

    pub(super) fn page_size(&self, asked: u32) -> Result<u32> {
        request::page_size(asked, self.limits().page_size, self.limits().max_page_size)
    }
}
