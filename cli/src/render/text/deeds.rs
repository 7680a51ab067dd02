//! Changes and their receipts.

use proto::v1;

use super::{exact_size, facts_text, outcome_and_reason};
use crate::render::{plain, size};

/// What a change does, in the words of its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deed {
    /// As in "was ..".
    done: &'static str,
    what: String,
    /// How and where it goes; as in `to b`.
    target: Option<(&'static str, String)>,
}

/// One sentence about a change.
pub(crate) fn deed(receipt: &v1::Receipt, deed: &Deed) -> String {
    let Deed { done, what, .. } = deed;
    let (what, target) = (plain(what), deed.target_text());
    let v1::Receipt { version_id, sequence, .. } = receipt;
    let where_to = match v1::Outcome::try_from(receipt.outcome) {
        Ok(v1::Outcome::Rejected) => {
            return format!("{what} was not {done}{target}: {} (at {sequence})\n", plain(&receipt.reason));
        }
        Ok(v1::Outcome::ConflictedCopy) => format!(" {}", conflicted_copy(receipt)),
        Ok(v1::Outcome::Applied | v1::Outcome::Pending | v1::Outcome::Unspecified) | Err(_) => target,
    };
    let version = if version_id.is_empty() { String::new() } else { format!(", version {version_id}") };
    format!("{done} {what}{where_to}{version}, at {sequence}{}\n", later(receipt))
}

/// One sentence about what was stored.
pub(crate) fn stored(receipt: &v1::Receipt, source: &str, how: Sent) -> String {
    let v1::Receipt { version_id, sequence, node, .. } = receipt;
    let what = match v1::Outcome::try_from(receipt.outcome) {
        Ok(v1::Outcome::Rejected) => return deed(receipt, &Deed::new("stored", source).to("as", &receipt.path)),
        Ok(v1::Outcome::ConflictedCopy) => conflicted_copy(receipt),
        Ok(v1::Outcome::Applied | v1::Outcome::Pending | v1::Outcome::Unspecified) | Err(_) => {
            format!("as {}", plain(&receipt.path))
        }
    };
    let (source, size, later) = (plain(source), size(receipt.size_bytes), later(receipt));
    let instant = match how {
        Sent::Bytes => "",
        Sent::Nothing => " (instant: the space had these bytes already)",
    };
    let node = if node.is_empty() { String::new() } else { format!(", first copy on {node}") };
    format!("stored {source} {what}: {size}{instant}, version {version_id}, at {sequence}{node}{later}\n")
}

/// One sentence about an upload that was given up, if anything of it was left.
pub(crate) fn aborted(source: &str, upload_id: Option<&str>) -> String {
    let source = plain(source);
    match upload_id {
        Some(upload_id) => format!("gave up the upload of {source} ({upload_id})\n"),
        None => format!("nothing is left of an upload of {source}\n"),
    }
}

/// What it took to store a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Its bytes.
    Bytes,
    /// The space had the same bytes already.
    Nothing,
}

/// All that a receipt says.
pub(crate) fn receipt(receipt: &v1::Receipt) -> String {
    let outcome = outcome_and_reason(receipt.outcome, &receipt.reason);
    let sha256 = hex::encode(&receipt.sha256);
    let facts = [
        ("outcome", outcome + later(receipt)),
        ("path", plain(&receipt.path).into_owned()),
        ("space", plain(&receipt.space).into_owned()),
        // What has no content has no size.
        ("size", if sha256.is_empty() { String::new() } else { exact_size(receipt.size_bytes) }),
        ("sha256", sha256),
        ("version", receipt.version_id.clone()),
        ("file", receipt.file_id.clone()),
        ("blob", receipt.blob_id.clone()),
        ("node", receipt.node.clone()),
        ("event", receipt.event_id.clone()),
        ("sequence", receipt.sequence.clone()),
    ];
    facts_text(&facts)
}

// === impl Deed ===

impl Deed {
    /// What is `done` to `what`, such as `deleted` and `docs/a.txt`.
    pub(crate) fn new(done: &'static str, what: impl Into<String>) -> Self {
        Self { done, what: what.into(), target: None }
    }

    /// Where it goes, with the word before it; left out when that is where it is.
    pub(crate) fn to(self, word: &'static str, target: impl Into<String>) -> Self {
        let target = target.into();
        let says_more = !target.is_empty() && target != self.what;
        Self { target: says_more.then_some((word, target)), ..self }
    }

    fn target_text(&self) -> String {
        self.target.as_ref().map_or_else(String::new, |(word, target)| format!(" {word} {}", plain(target)))
    }
}

fn conflicted_copy(receipt: &v1::Receipt) -> String {
    let path = plain(&receipt.path);
    match plain(&receipt.reason).as_ref() {
        "" => format!("as the conflicted copy {path}"),
        reason => format!("as the conflicted copy {path} ({reason})"),
    }
}

fn later(receipt: &v1::Receipt) -> &'static str {
    if receipt.projected { "" } else { "; safe in the journal, not yet in the catalog" }
}
