//! Listing a folder with all that is below it.

use fold::rows::{BlobRow, VersionRow};
use proto::{FileId, Path, Segment, SpaceName};

use super::{Answer, MAX_PAGE, Reader, seen};
use crate::records::{content, unsigned};
use crate::{Error, token};

/// A page of a listing.
#[derive(Debug, Clone)]
pub enum Listing {
    /// Files, in the byte order of their paths.
    Page {
        /// The files.
        files: Vec<Listed>,
        /// What to ask the next page with; empty on the last one.
        next_page_token: String,
    },
    /// There is no such folder.
    NoFolder,
    /// There is no such space.
    NoSpace,
}

/// A file in a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its path in the space.
    pub path: Path,
    /// The file.
    pub file_id: FileId,
    /// Its current version.
    pub version: VersionRow,
    /// Its content.
    pub blob: BlobRow,
    /// On how many nodes the content is.
    pub replicas_stored: u32,
    /// On how many it shall be.
    pub replicas_wanted: u32,
}

impl Reader {
    /// A page of the files under `folder` (or in the whole space) at any depth, in the byte order of their paths. A page
    /// holds `limit` files, at most [`MAX_PAGE`]; an empty `page_token` asks for the first one.
    ///
    /// Pages are cut by path: files that come or go meanwhile are seen or not, but no other file is missed or repeated.
    pub async fn list(
        &self,
        space: &SpaceName,
        folder: Option<&Path>,
        limit: u32,
        page_token: &str,
    ) -> Result<Listing, Error> {
        let scope = ["list", space.as_str(), folder.map_or("", Path::as_str)];
        let after = token::open(&scope, page_token)?;
        let after: Vec<&str> = after.iter().flat_map(|path| path.split('/')).collect();
        let limit = limit.clamp(1, MAX_PAGE);
        let segments: Vec<String> = folder.iter().flat_map(|path| path.segments()).map(String::from).collect();
        let mut found = self.files_below(space, &segments, &after, limit + 1).await?;
        if found.is_empty() {
            return self.why_empty(space, &segments).await;
        }
        let mut next_page_token = String::new();
        if found.len() > limit as usize {
            found.truncate(limit as usize);
            next_page_token = found.last().map(|last| token::seal(&scope, &last.below)).unwrap_or_default();
        }
        let files: Result<Vec<Listed>, Error> = found.into_iter().map(|found| found.listed(folder)).collect();
        Ok(Listing::Page { files: files?, next_page_token })
    }

    /// Walks the tree in one statement, from where the last page ended: each step of the recursion looks up the next name
    /// in the folder on top of a stack, and puts a folder on it or takes one off. Postgres makes only as many steps as the
    /// page needs.
    async fn files_below(
        &self,
        space: &SpaceName,
        folder: &[String],
        after: &[&str],
        limit: u32,
    ) -> Result<Vec<Found>, Error> {
        self.read(|pool| async move {
            let rows =
                sqlx::query_file!("src/reader/list.sql", space.as_str(), folder, after as &[&str], i64::from(limit),)
                    .fetch_all(&pool)
                    .await?;
            let seen = rows.first().map(|row| seen!(row));
            let found: Result<Vec<Found>, Error> = rows
                .into_iter()
                .map(|row| {
                    let (version, blob) = content!(row);
                    Ok(Found {
                        below: row.below,
                        version: version.try_into()?,
                        blob: blob.try_into()?,
                        stored: count(row.stored)?,
                        wanted: count(row.wanted)?,
                    })
                })
                .collect();
            Ok(Answer { seen, value: found? })
        })
        .await
    }

    async fn why_empty(&self, space: &SpaceName, folder: &[String]) -> Result<Listing, Error> {
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"WITH RECURSIVE way AS (
                       SELECT 0 AS depth, s.space_id AS folder_id FROM spaces AS s
                       WHERE s.name = $1 AND s.deleted_seq IS NULL
                     UNION ALL
                       SELECT w.depth + 1, n.target_id
                       FROM way AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id FROM names
                           WHERE parent_id = w.folder_id AND name = ($2::text[])[w.depth + 1] AND to_seq IS NULL
                               AND target_kind = 'folder'
                           LIMIT 1
                       ) AS n
                       WHERE w.depth < cardinality($2::text[])
                   )
                   SELECT a.catalog_id, a.generation, (SELECT max(depth) FROM way) AS "depth?"
                   FROM highwater.active AS a WHERE a.singleton"#,
                space.as_str(),
                folder,
            )
            .fetch_one(&pool)
            .await?;
            let value = match row.depth {
                None => Listing::NoSpace,
                Some(depth) if usize::try_from(depth) != Ok(folder.len()) => Listing::NoFolder,
                Some(_) => Listing::Page { files: Vec::new(), next_page_token: String::new() },
            };
            Ok(Answer { seen: Some(seen!(row)), value })
        })
        .await
    }
}

/// A file as the walk finds it: its path is below the folder that is listed.
struct Found {
    below: String,
    version: VersionRow,
    blob: BlobRow,
    stored: u32,
    wanted: u32,
}

impl Found {
    fn listed(self, folder: Option<&Path>) -> Result<Listed, Error> {
        let above = folder.iter().flat_map(|folder| folder.segments()).map(Ok);
        let below = self.below.split('/').map(str::parse::<Segment>);
        let segments: Result<Vec<Segment>, _> = above.chain(below).collect();
        let segments = segments.map_err(|e| Error::inconsistent("names", "name", e.to_string()))?;
        Ok(Listed {
            path: Path::from_segments(&segments).ok_or_else(|| Error::inconsistent("names", "name", "empty"))?,
            file_id: self.version.file_id,
            version: self.version,
            blob: self.blob,
            replicas_stored: self.stored,
            replicas_wanted: self.wanted,
        })
    }
}

fn count(value: i64) -> Result<u32, Error> {
    let value = unsigned("replicas", "state", value)?;
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}
