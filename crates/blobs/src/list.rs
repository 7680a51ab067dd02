//! What is in a bucket.

use proto::BlobId;

use crate::archive::SegmentName;
use crate::breaker::Kind;
use crate::node::listed;
use crate::{Error, Listed, MARKER_KEY, Node, NodeFault, Page};

/// What the keys of [`crate::probe`] begin with.
pub(crate) const PROBES: &str = "highwater-probe/";
/// The name of an object that tells whether a node takes others than one that it refuses, in the folder of that one.
pub(crate) const STAND_IN: &str = "highwater-probe";

/// What a key in a bucket stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKey {
    /// A blob.
    Blob(BlobId),
    /// The digests of a blob's slices.
    Parts(BlobId),
    /// The tombstone of a blob that was erased.
    Tombstone(BlobId),
    /// A segment of the journal.
    Segment,
    /// The marker, or an object of a probe.
    Own,
    /// Nothing of ours.
    Foreign,
}

// === impl ObjectKey ===

impl ObjectKey {
    /// Reads a key: only those that we would write ourselves are ours.
    pub fn parse(key: &str) -> Self {
        if key == MARKER_KEY || key.starts_with(PROBES) {
            return Self::Own;
        }
        if SegmentName::parse(key).is_some() {
            return Self::Segment;
        }
        let name = key.rsplit('/').next().unwrap_or_default();
        if name == STAND_IN {
            return if is_in_folder(key) { Self::Own } else { Self::Foreign };
        }
        let Ok(blob) = name.strip_suffix(".parts").unwrap_or(name).parse::<BlobId>() else { return Self::Foreign };
        let known = [
            (blob.key(), Self::Blob(blob)),
            (blob.parts_key(), Self::Parts(blob)),
            (blob.erased_key(), Self::Tombstone(blob)),
        ];
        known.into_iter().find(|(own, _)| own == key).map_or(Self::Foreign, |(_, kind)| kind)
    }
}

/// Whether a key is in a folder of blobs.
fn is_in_folder(key: &str) -> bool {
    let folder = key.strip_prefix("blobs/").and_then(|rest| rest.split_once('/')).map(|(folder, _)| folder);
    folder.is_some_and(|name| name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
        && key.matches('/').count() == 2
}

// === impl Node ===

impl Node {
    /// Up to `max_keys` objects whose keys come after `after` as text, in that order; everything from the first on when it
    /// is empty. [`Page::next`] is what to pass for the next page, at any later time.
    pub async fn list_after(&self, after: &str, max_keys: u16) -> Result<Page, Error> {
        let request = self.s3().list_objects_v2().bucket(self.bucket()).max_keys(i32::from(max_keys));
        let request = request.set_start_after((!after.is_empty()).then(|| after.to_owned()));
        let page = self.sdk(Kind::Read, after, request.send().await)?;
        let is_truncated = page.is_truncated() == Some(true);
        let objects: Vec<Listed> = listed(page.contents);
        let keys = std::iter::once(after).chain(objects.iter().map(|object| object.key.as_str()));
        let next = objects.last().map(|object| object.key.clone()).filter(|_| is_truncated);
        if !keys.is_sorted() || (is_truncated && next.is_none()) {
            return Err(Error::node(
                self.id(),
                NodeFault::Broken,
                "does not list its objects in the order of their keys",
            ));
        }
        Ok(Page { objects, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_we_would_write_are_ours() {
        let blob: BlobId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(ObjectKey::parse(&blob.key()), ObjectKey::Blob(blob));
        assert_eq!(ObjectKey::parse(&blob.parts_key()), ObjectKey::Parts(blob));
        assert_eq!(ObjectKey::parse(&blob.erased_key()), ObjectKey::Tombstone(blob));
        assert_eq!(ObjectKey::parse(MARKER_KEY), ObjectKey::Own);
        assert_eq!(ObjectKey::parse("highwater-probe/x"), ObjectKey::Own);
        assert_eq!(ObjectKey::parse("blobs/57/highwater-probe"), ObjectKey::Own);
        let foreign = [
            String::new(),
            "readme.txt".to_owned(),
            "blobs/highwater-probe".to_owned(),
            "blobs/5g/highwater-probe".to_owned(),
            "blobs/57/00/highwater-probe".to_owned(),
            format!("blobs/00/{blob}"),
            format!("blobs/{blob}"),
            format!("x/{}", blob.key()),
            blob.key().to_uppercase(),
            format!("{}.parts.parts", blob.key()),
            format!("{}.parts", blob.erased_key()),
        ];
        for key in foreign {
            assert_eq!(ObjectKey::parse(&key), ObjectKey::Foreign, "{key}");
        }
    }
}
