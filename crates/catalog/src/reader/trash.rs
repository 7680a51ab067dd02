//! What was deleted and can be brought back.

use proto::{Actor, FileId, FolderId, Item, Path, SpaceId};
use time::OffsetDateTime;
use uuid::Uuid;

use super::changes::decode;
use super::versions::versioned;
use super::{Answer, MAX_PAGE, Reader, Versioned, seen};
use crate::records::{path, target, unsigned};
use crate::{Error, token};

/// How often one page goes on over files that cannot be brought back.
const MAX_ROUNDS: u32 = 10;

/// A file or a folder in the trash. What is in a deleted folder is not in the trash itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// What was deleted.
    pub item: Item,
    /// Where it was just before.
    pub path: Path,
    /// The event that deleted or replaced it.
    pub deleted_seq: u64,
    /// Time of that event.
    pub deleted_at: OffsetDateTime,
    /// Who asked for it.
    pub deleted_by: Actor,
    /// Of a file: what undeleting brings back, its newest version with content that is not pruned. None when all are.
    pub content: Option<Versioned>,
}

/// A page of the trash of a space, newest deletion first.
#[derive(Debug, Clone)]
pub struct TrashPage {
    /// The items.
    pub trashed: Vec<Trashed>,
    /// What to ask the next page with; empty on the last one, and only there: a page may have few items, or none, although
    /// more follow.
    pub next_page_token: String,
}

/// Which part of the trash is read.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// What was deleted before this: its sequence and its item.
    Before { seq: i64, id: Uuid, limit: u32 },
    /// One item.
    One(Item),
}

impl Reader {
    /// A page of what was deleted in a space and can be brought back: files of which all content was pruned are left out.
    /// Also of a deleted space. A page holds `limit` items, at most [`MAX_PAGE`]; an empty `page_token` asks for the
    /// first one.
    pub async fn trash(&self, space_id: SpaceId, limit: u32, page_token: &str) -> Result<TrashPage, Error> {
        let scope = ["trash", &space_id.to_string()];
        let (mut seq, mut id) = match token::open(&scope, page_token)? {
            Some(text) => position(&text)?,
            None => (i64::MAX, Uuid::max()),
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let mut trashed: Vec<Trashed> = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let found = self.trashed_in(space_id, Part::Before { seq, id, limit: limit + 1 }).await?;
            let all_found = found.len() <= limit as usize;
            for one in found {
                if trashed.len() == limit as usize {
                    let next_page_token = token::seal(&scope, &format!("{seq}/{id}"));
                    return Ok(TrashPage { trashed, next_page_token });
                }
                (seq, id) = (crate::records::number(one.deleted_seq), uuid_of(one.item));
                if one.can_come_back() {
                    trashed.push(one);
                }
            }
            if all_found {
                return Ok(TrashPage { trashed, next_page_token: String::new() });
            }
        }
        Ok(TrashPage { trashed, next_page_token: token::seal(&scope, &format!("{seq}/{id}")) })
    }

    /// A file or folder that was deleted itself; none when it was not, or is no item of the space.
    pub async fn trashed(&self, space_id: SpaceId, item: Item) -> Result<Option<Trashed>, Error> {
        Ok(self.trashed_in(space_id, Part::One(item)).await?.pop())
    }

    async fn trashed_in(&self, space_id: SpaceId, part: Part) -> Result<Vec<Trashed>, Error> {
        let (seq, id, limit, file, folder) = match part {
            Part::Before { seq, id, limit } => (seq, id, limit, None, None),
            Part::One(Item::File(id)) => (0, Uuid::nil(), 0, Some(id.uuid()), None),
            Part::One(Item::Folder(id)) => (0, Uuid::nil(), 0, None, Some(id.uuid())),
        };
        self.read(|pool| async move {
            let rows = sqlx::query_file!(
                "src/reader/trash.sql",
                space_id.uuid(),
                seq,
                id,
                i64::from(limit),
                file as Option<Uuid>,
                folder as Option<Uuid>,
            )
            .fetch_all(&pool)
            .await?;
            let seen = rows.first().map(|row| seen!(row));
            let mut trashed = Vec::with_capacity(rows.len());
            for row in rows {
                let event = decode(&row.raw)?;
                trashed.push(Trashed {
                    item: target(&row.item_kind, row.item_id)?,
                    path: path("names", "name", &row.path)?,
                    deleted_seq: unsigned("files", "deleted_seq", row.deleted_seq)?,
                    deleted_at: event.time,
                    deleted_by: event.actor,
                    content: versioned!(row),
                });
            }
            Ok(Answer { seen, value: trashed })
        })
        .await
    }
}

// === impl Trashed ===

impl Trashed {
    fn can_come_back(&self) -> bool {
        match self.item {
            Item::File(_) => self.content.is_some(),
            // What is in it may be pruned; its names come back.
            Item::Folder(_) => true,
        }
    }
}

fn uuid_of(item: Item) -> Uuid {
    match item {
        Item::File(id) => FileId::uuid(id),
        Item::Folder(id) => FolderId::uuid(id),
    }
}

fn position(text: &str) -> Result<(i64, Uuid), Error> {
    let parsed = text.split_once('/').and_then(|(seq, id)| Some((seq.parse().ok()?, id.parse().ok()?)));
    parsed.ok_or_else(|| Error::PageToken { problem: "holds no position in the trash".to_owned() })
}
