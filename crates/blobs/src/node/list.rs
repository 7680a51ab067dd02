//! Listing what a node holds.

use crate::breaker::Kind;
use crate::{Error, Node};

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its length.
    pub size_bytes: u64,
    /// When the node says it was written, as seconds since 1970.
    pub modified_unix_s: Option<i64>,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The objects, in the order of their keys.
    pub objects: Vec<Listed>,
    /// What to pass for the next page; `None` at the end.
    pub next: Option<String>,
}

impl Node {
    /// Up to `max_keys` objects whose keys start with `prefix`, from where the page before ended.
    pub async fn list(&self, prefix: &str, from: Option<String>, max_keys: u16) -> Result<Page, Error> {
        let request = self.0.s3.list_objects_v2().bucket(self.bucket()).prefix(prefix);
        let request = request.max_keys(i32::from(max_keys)).set_continuation_token(from);
        let page = self.sdk(Kind::Read, prefix, request.send().await)?;
        let next = if page.is_truncated() == Some(true) { page.next_continuation_token.clone() } else { None };
        Ok(Page { objects: listed(page.contents), next })
    }
}

/// The objects of a listing.
pub(crate) fn listed(contents: Option<Vec<aws_sdk_s3::types::Object>>) -> Vec<Listed> {
    let objects = contents.unwrap_or_default().into_iter().filter_map(|object| {
        let size_bytes = u64::try_from(object.size?).ok()?;
        Some(Listed { key: object.key?, size_bytes, modified_unix_s: object.last_modified.map(|at| at.secs()) })
    });
    objects.collect()
}
