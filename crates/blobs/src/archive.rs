//! The archive: the journal once more, as segments on every node.
//!
//! A segment is an object with the events of the journal from one number to another, as a compressed slice
//! ([`proto::SliceWriter`]) that says the chain digest before its first event: segments that follow each other prove that
//! nothing is missing between them, and nothing was changed. Segments are never written over. The one at the end grows by being
//! written once more, longer and under another name; the shorter one is deleted then.

mod coverage;
mod segment;

pub use coverage::Coverage;
pub use segment::{BadSegment, MAX_SEGMENT_BYTES, Segment};

use std::fmt;

use proto::Incarnation;
use uuid::Uuid;

use crate::{Error, Node};

/// What the keys of all segments begin with.
pub(crate) const FOLDER: &str = "journal/";

/// How many names are asked for at once: the most that S3 gives.
const LIST_BATCH: u16 = 1000;

/// Which events a segment has. Its key says that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    /// Which life of the journal.
    pub incarnation: Incarnation,
    /// The number of the first event.
    pub first: u64,
    /// The number of the last event.
    pub last: u64,
}

// === impl SegmentName ===

impl SegmentName {
    /// The key of the object. Keys sort as the numbers do.
    pub fn key(&self) -> String {
        format!("{FOLDER}{}/{:020}-{:020}", self.incarnation.uuid().simple(), self.first, self.last)
    }

    /// Reads a key; `None` when it is not one that [`Self::key`] gives.
    pub fn parse(key: &str) -> Option<Self> {
        let (life, numbers) = key.strip_prefix(FOLDER)?.split_once('/')?;
        let (first, last) = numbers.split_once('-')?;
        let incarnation = Incarnation::new(Uuid::try_parse(life).ok()?);
        let name = Self { incarnation, first: first.parse().ok()?, last: last.parse().ok()? };
        (name.first >= 1 && name.first <= name.last && name.key() == key).then_some(name)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

// === impl Node ===

impl Node {
    /// The segments that the node has of one life of the journal, or of all, in the order of their keys.
    pub async fn segments(&self, incarnation: Option<Incarnation>) -> Result<Vec<SegmentName>, Error> {
        let prefix = incarnation.map_or_else(|| FOLDER.to_owned(), |life| format!("{FOLDER}{}/", life.uuid().simple()));
        let (mut names, mut from) = (Vec::new(), None);
        loop {
            let page = self.list(&prefix, from, LIST_BATCH).await?;
            names.extend(page.objects.iter().filter_map(|object| SegmentName::parse(&object.key)));
            from = page.next;
            if from.is_none() {
                names.sort_unstable();
                return Ok(names);
            }
        }
    }

    /// Reads a segment. The outer error is the node's; the inner one says that what it has is not what it stored.
    pub async fn segment(&self, name: &SegmentName) -> Result<Result<Segment, BadSegment>, Error> {
        let Some(bytes) = self.get(&name.key(), segment::MAX_OBJECT_BYTES).await? else {
            return Ok(Err(BadSegment::new(name, "is not there")));
        };
        Ok(Segment::decode(name, &bytes))
    }

    /// Writes a segment, which must not be empty.
    pub async fn put_segment(&self, segment: &Segment) -> Result<SegmentName, Error> {
        let name = segment.name();
        self.put(&name.key(), segment.encode()).await?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_we_would_write_are_names() {
        let incarnation = Incarnation::new(Uuid::from_u128(7));
        let name = SegmentName { incarnation, first: 1, last: 4096 };
        let key = "journal/00000000000000000000000000000007/00000000000000000001-00000000000000004096";
        assert_eq!(name.key(), key);
        assert_eq!(SegmentName::parse(key), Some(name));
        let later = SegmentName { first: 4097, last: u64::MAX, ..name };
        assert!(name.key() < later.key());
        assert_eq!(SegmentName::parse(&later.key()), Some(later));
        let foreign = [
            "",
            "journal/",
            "journal/x/00000000000000000001-00000000000000004096",
            "journal/00000000000000000000000000000007/1-4096",
            "journal/00000000000000000000000000000007/00000000000000000000-00000000000000004096",
            "journal/00000000000000000000000000000007/00000000000000000002-00000000000000000001",
            "x/00000000000000000000000000000007/00000000000000000001-00000000000000004096",
        ];
        for key in foreign {
            assert_eq!(SegmentName::parse(key), None, "{key}");
        }
    }
}
