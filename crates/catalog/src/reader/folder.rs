//! What is in a folder, now and in the past, and how much is below it.

use fold::rows::{BlobRow, FolderRow, VersionRow};
use proto::{Path, Segment, SpaceName};

use super::versions::versioned;
use super::{Answer, MAX_PAGE, Reader, Seen, Versioned, seen};
use crate::records::{FolderColumns, number, unsigned, word};
use crate::{Error, token};

/// At a past sequence, how many names that were not there then one page looks at, at most. It bounds the time that a page
/// takes in a folder whose names come and go all the time.
const MAX_LOOKED_AT: i64 = 10_000;

/// The end of a current name, for ordering, and the sequence that stands for now.
const NEVER: i64 = i64::MAX;

/// A question for what is in a folder.
#[derive(Debug, Clone, Copy)]
pub struct FolderListing<'a> {
    /// The name of the space.
    pub space: &'a SpaceName,
    /// The folder; none for the space's root.
    pub folder: Option<&'a Path>,
    /// At which sequence; none for now. The space is the one that has the name now.
    pub at: Option<u64>,
    /// Entries in a page, at most [`MAX_PAGE`].
    pub limit: u32,
    /// What the page before said; empty for the first one.
    pub page_token: &'a str,
}

/// What a path holds that was asked for as a folder.
#[derive(Debug, Clone)]
pub enum FolderLookup {
    /// A page of what is in it.
    Page(FolderPage),
    /// It is a file.
    NotAFolder,
    /// Nothing is there.
    NoFolder,
    /// No space has this name now.
    NoSpace,
}

/// A page of a folder.
#[derive(Debug, Clone)]
pub struct FolderPage {
    /// Sorted by the bytes of the names, folders as if theirs ended in a slash.
    pub entries: Vec<Entry>,
    /// What to ask the next page with; empty on the last one, and only there: in the past of a folder whose names came and
    /// went, a page may have few entries or none although more follow.
    pub next_page_token: String,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Segment,
    /// Since when it stands for what it does.
    pub from_seq: u64,
    /// What it stands for.
    pub target: EntryTarget,
}

/// What a name in a folder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most entries are files, so a box would only cost")]
pub enum EntryTarget {
    /// A file.
    File {
        /// The version that is, or then was, current. In the past it may be one that was pruned since.
        version: VersionRow,
        /// Its content.
        blob: BlobRow,
        /// On how many nodes the content is now.
        replicas_stored: u32,
        /// On how many it shall be.
        replicas_wanted: u32,
    },
    /// A folder, as it is now.
    Folder(FolderRow),
}

/// How much is below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Files, at any depth.
    pub files: u64,
    /// Folders, at any depth, without the folder itself.
    pub folders: u64,
    /// The sum of the sizes of the files' current versions.
    pub bytes: u64,
}

/// What a path holds that was asked for how much is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageLookup {
    /// A folder.
    Usage(Usage),
    /// It is a file.
    NotAFolder,
    /// Nothing is there.
    NoFolder,
    /// No space has this name now.
    NoSpace,
}

/// Where in a folder a page begins: after a name, as it sorts, and after the end of its time, since one name may have been
/// given and taken away many times.
#[derive(Debug, Clone)]
struct Position {
    sort_name: String,
    until: i64,
}

/// How many names one statement looks at.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries: i64,
    present: i64,
    past: i64,
}

/// What one statement found.
struct Found {
    end: End,
    entries: Vec<(Position, Entry)>,
    /// Up to where it looked; none at the end of the folder.
    horizon: Option<Position>,
}

/// Where the way to a folder ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Folder,
    NotAFolder,
    NoFolder,
    NoSpace,
}

impl Reader {
    /// A page of what is directly in a folder, now or at a past sequence.
    ///
    /// Pages are cut by name: entries that come or go meanwhile are seen or not, but no other is missed or repeated.
    pub async fn list_folder(&self, listing: FolderListing<'_>) -> Result<FolderLookup, Error> {
        let FolderListing { space, folder, at, limit, page_token } = listing;
        let at_word = at.map_or_else(|| "now".to_owned(), |n| n.to_string());
        let scope = ["folder", space.as_str(), folder.map_or("", Path::as_str), &at_word];
        let mut position = match token::open(&scope, page_token)? {
            Some(text) => Position::parse(&text)?,
            None => Position { sort_name: String::new(), until: 0 },
        };
        let segments = names_of(folder);
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let mut entries: Vec<(Position, Entry)> = Vec::new();
        let mut looked_at = 0;
        let mut more = true;
        while more {
            let bounds = Bounds::next(at, limit + 1 - entries.len(), looked_at);
            looked_at += bounds.present + bounds.past;
            let found = self.names_in(space, &segments, at, &position, bounds).await?;
            match found.end {
                End::Folder => {}
                End::NotAFolder => return Ok(FolderLookup::NotAFolder),
                End::NoFolder => return Ok(FolderLookup::NoFolder),
                End::NoSpace => return Ok(FolderLookup::NoSpace),
            }
            entries.extend(found.entries);
            more = found.horizon.is_some();
            position = found.horizon.unwrap_or(position);
            if entries.len() > limit || looked_at >= MAX_LOOKED_AT {
                break;
            }
        }
        if entries.len() > limit {
            entries.truncate(limit);
            more = true;
            position = entries.last().map_or(position, |(position, _)| position.clone());
        }
        let next_page_token = if more { token::seal(&scope, &position.to_string()) } else { String::new() };
        let entries = entries.into_iter().map(|(_, entry)| entry).collect();
        Ok(FolderLookup::Page(FolderPage { entries, next_page_token }))
    }

    async fn names_in(
        &self,
        space: &SpaceName,
        folder: &[String],
        at: Option<u64>,
        after: &Position,
        bounds: Bounds,
    ) -> Result<Found, Error> {
        self.read(|pool| async move {
            let rows = sqlx::query_file!(
                "src/reader/folder.sql",
                space.as_str(),
                folder,
                at.map_or(NEVER, number),
                after.sort_name,
                after.until,
                bounds.entries,
                bounds.present,
                bounds.past,
            )
            .fetch_all(&pool)
            .await?;
            let mut found = Found { end: End::NoSpace, entries: Vec::with_capacity(rows.len()), horizon: None };
            let mut seen: Option<Seen> = None;
            for row in rows {
                seen.get_or_insert(seen!(row));
                found.end = End::of(row.depth, row.reached_kind.as_deref(), folder.len());
                found.horizon = position(row.horizon, row.horizon_until);
                let Some(position) = position(row.sort_name, row.until) else { continue };
                let folder = match (row.folder_id, row.folder_space_id, row.folder_created_seq, row.entries) {
                    (Some(folder_id), Some(space_id), Some(created_seq), Some(entries)) => Some(FolderColumns {
                        folder_id,
                        space_id,
                        created_seq,
                        deleted_seq: row.folder_deleted_seq,
                        entries,
                    }),
                    _ => None,
                };
                let target = entry_target(folder, versioned!(row), (row.stored, row.wanted))?;
                let name = word("names", "name", &row.name.unwrap_or_default())?;
                let from_seq = unsigned("names", "from_seq", row.from_seq.unwrap_or_default())?;
                found.entries.push((position, Entry { name, from_seq, target }));
            }
            Ok(Answer { seen, value: found })
        })
        .await
    }

    /// How much is below a folder, or in a whole space. Looks at everything below, so ask it for people, not for every
    /// request.
    pub async fn usage(&self, space: &SpaceName, folder: Option<&Path>) -> Result<UsageLookup, Error> {
        let segments = names_of(folder);
        let folder: &[String] = &segments;
        self.read(|pool| async move {
            let row = sqlx::query!(
                r#"WITH RECURSIVE way AS (
                       SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind
                       FROM spaces AS s WHERE s.name = $1 AND s.deleted_seq IS NULL
                     UNION ALL
                       SELECT w.depth + 1, n.target_id, n.target_kind
                       FROM way AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind FROM names
                           WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND to_seq IS NULL
                           LIMIT 1
                       ) AS n
                       WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[])
                   ),
                   reached AS (SELECT w.depth, w.target_kind, w.target_id FROM way AS w ORDER BY w.depth DESC LIMIT 1),
                   below AS (
                       SELECT r.target_id, r.target_kind FROM reached AS r WHERE r.depth = cardinality($2::text[])
                     UNION ALL
                       SELECT n.target_id, n.target_kind
                       FROM below AS w
                       CROSS JOIN LATERAL (
                           SELECT target_id, target_kind FROM names
                           WHERE parent_id = w.target_id AND to_seq IS NULL OFFSET 0
                       ) AS n
                       WHERE w.target_kind = 'folder'
                   )
                   SELECT a.catalog_id, a.generation, t.depth AS "depth?", t.target_kind AS "reached_kind?",
                       s.files AS "files!", s.folders AS "folders!", s.bytes AS "bytes!"
                   FROM highwater.active AS a
                   LEFT JOIN reached AS t ON true
                   CROSS JOIN (
                       SELECT count(*) FILTER (WHERE w.target_kind = 'file') AS files,
                           count(*) FILTER (WHERE w.target_kind = 'folder') AS folders,
                           least(coalesce(sum(b.size_bytes), 0), 9223372036854775807)::bigint AS bytes
                       FROM below AS w
                       LEFT JOIN LATERAL (
                           SELECT version_id FROM files WHERE w.target_kind = 'file' AND file_id = w.target_id LIMIT 1
                       ) AS f ON true
                       LEFT JOIN LATERAL (
                           SELECT blob_id FROM versions WHERE version_id = f.version_id LIMIT 1
                       ) AS v ON true
                       LEFT JOIN LATERAL (
                           SELECT size_bytes FROM blobs WHERE blob_id = v.blob_id LIMIT 1
                       ) AS b ON true
                   ) AS s
                   WHERE a.singleton"#,
                space.as_str(),
                folder,
            )
            .fetch_one(&pool)
            .await?;
            let usage = Usage {
                files: unsigned("names", "target_kind", row.files)?,
                // The folder itself is counted as well.
                folders: unsigned("names", "target_kind", row.folders)?.saturating_sub(1),
                bytes: unsigned("blobs", "size_bytes", row.bytes)?,
            };
            let value = match End::of(row.depth, row.reached_kind.as_deref(), folder.len()) {
                End::Folder => UsageLookup::Usage(usage),
                End::NotAFolder => UsageLookup::NotAFolder,
                End::NoFolder => UsageLookup::NoFolder,
                End::NoSpace => UsageLookup::NoSpace,
            };
            Ok(Answer { seen: Some(seen!(row)), value })
        })
        .await
    }
}

// === impl Position ===

impl Position {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::PageToken { problem: "holds no position in a folder".to_owned() };
        let (until, sort_name) = text.split_once('/').ok_or_else(wrong)?;
        Ok(Self { sort_name: sort_name.to_owned(), until: until.parse().map_err(|_| wrong())? })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.until, self.sort_name)
    }
}

// === impl Bounds ===

impl Bounds {
    /// For so many entries still wanted, after so many names were looked at. Now every name that is looked at fits. In the
    /// past most do in most folders, so it begins with few names and looks at more when that was not enough.
    fn next(at: Option<u64>, wanted: usize, looked_at: i64) -> Self {
        let entries = i64::try_from(wanted).unwrap_or(NEVER);
        if at.is_none() {
            return Self { entries, present: entries, past: 0 };
        }
        let names = (entries + 50).max(looked_at).min((MAX_LOOKED_AT - looked_at) / 2).max(100);
        Self { entries, present: names, past: names }
    }
}

// === impl End ===

impl End {
    fn of(depth: Option<i32>, kind: Option<&str>, wanted: usize) -> Self {
        match (depth.map(usize::try_from), kind) {
            (None, _) => Self::NoSpace,
            (Some(depth), _) if depth != Ok(wanted) => Self::NoFolder,
            (Some(_), Some("folder")) => Self::Folder,
            (Some(_), _) => Self::NotAFolder,
        }
    }
}

fn names_of(folder: Option<&Path>) -> Vec<String> {
    folder.iter().flat_map(|path| path.segments()).map(String::from).collect()
}

fn position(sort_name: Option<String>, until: Option<i64>) -> Option<Position> {
    Some(Position { sort_name: sort_name?, until: until? })
}

fn entry_target(
    folder: Option<FolderColumns>,
    file: Option<Versioned>,
    (stored, wanted): (i64, i64),
) -> Result<EntryTarget, Error> {
    if let Some(folder) = folder {
        return Ok(EntryTarget::Folder(folder.try_into()?));
    }
    let nothing = || Error::inconsistent("names", "target_id", "names no folder and no file with content".to_owned());
    let Versioned { row: version, blob } = file.ok_or_else(nothing)?;
    let blob = blob.ok_or_else(nothing)?;
    let count = |value| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(EntryTarget::File { version, blob, replicas_stored: count(stored), replicas_wanted: count(wanted) })
}
