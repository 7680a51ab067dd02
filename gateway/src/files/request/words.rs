//! Words from outside become ours, or an error that names what is wrong.

use proto::{
    Actor, BlobId, EventId, FileId, Item, NodeId, NodeRule, OnConflict, Path, RequestId, Sequence, Sha256Digest,
    SpaceId, SpaceName, VersionId,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{At, Author, MAX_CONTENT_TYPE_BYTES, MAX_KEEP_DAYS, Place};
use crate::error::{Code, Error, Result};
use crate::files::Retention;

/// A path, or the client's mistake.
pub(crate) fn path(text: &str) -> Result<Path> {
    text.parse().map_err(|invalid| Error::invalid(Code::PathInvalid, &invalid))
}

/// A space's name, empty for the space `main`, or the client's mistake.
pub(crate) fn space(text: &str) -> Result<SpaceName> {
    if text.is_empty() {
        return Ok(SpaceName::main());
    }
    text.parse().map_err(|invalid| Error::invalid(Code::SpaceInvalid, &invalid))
}

/// A space's name, which must be there, or the client's mistake.
pub(crate) fn new_space(text: &str) -> Result<SpaceName> {
    text.parse().map_err(|invalid| Error::invalid(Code::SpaceInvalid, &invalid))
}

/// A retention, or the client's mistake.
pub(crate) fn retention(keep_versions: Option<u32>, keep_days: Option<u32>) -> Result<Retention> {
    if keep_versions == Some(0) {
        return Err(Error::new(
            Code::RetentionInvalid,
            "a space keeps at least 1 version of each file, the current one",
        ));
    }
    if keep_days.is_some_and(|days| days > MAX_KEEP_DAYS) {
        let problem =
            format!("a space keeps old content for at most {MAX_KEEP_DAYS} days; leave the limit out to keep it");
        return Err(Error::new(Code::RetentionInvalid, problem).fact("limit", MAX_KEEP_DAYS));
    }
    Ok(Retention { keep_versions, keep_days })
}

/// What is said of a node, or the client's mistake. A weight of 0 stands for 1, an empty zone for none.
pub(crate) fn node_rule(weight: u32, zone: &str) -> Result<NodeRule> {
    let invalid = |invalid: proto::Invalid| Error::invalid(Code::PlacementInvalid, &invalid);
    let weight = weight.max(1).try_into().map_err(invalid)?;
    let zone = if zone.is_empty() { None } else { Some(zone.parse().map_err(invalid)?) };
    Ok(NodeRule { weight, zone })
}

/// A file's place, or the client's mistake.
pub(crate) fn place(space_name: &str, path_text: &str) -> Result<Place> {
    Ok(Place { space: space(space_name)?, path: path(path_text)? })
}

/// A digest, or the client's mistake.
pub(crate) fn sha256(bytes: &[u8]) -> Result<Sha256Digest> {
    Sha256Digest::try_from(bytes).map_err(|invalid| Error::invalid(Code::DigestInvalid, &invalid))
}

/// A media type, empty for an unknown one, or the client's mistake.
pub(crate) fn content_type(text: &str) -> Result<String> {
    if text.len() > MAX_CONTENT_TYPE_BYTES {
        let problem =
            format!("the content type has {} bytes; at most {MAX_CONTENT_TYPE_BYTES} are allowed", text.len());
        return Err(Error::new(Code::ContentTypeInvalid, problem));
    }
    // It goes into an HTTP header when the file is read, which can carry nothing else.
    if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        let problem = "the content type has characters other than printable ASCII";
        return Err(Error::new(Code::ContentTypeInvalid, problem));
    }
    Ok(text.to_owned())
}

/// A time from seconds and nanoseconds since 1970, or the client's mistake.
pub(crate) fn modified_at(seconds: i64, nanos: i32) -> Result<OffsetDateTime> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok().and_then(|at| {
        let nanos = u32::try_from(nanos).ok()?;
        at.replace_nanosecond(nanos).ok()
    });
    // RFC 3339, as which the journal writes it, knows no other years.
    at.filter(|at| (1..=9999).contains(&at.year()))
        .ok_or_else(|| Error::new(Code::TimeInvalid, "the time of modification is not a time of the years 1 to 9999"))
}

/// A request id, empty for none, or the client's mistake.
pub(crate) fn request_id(text: &str) -> Result<Option<RequestId>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::RequestIdInvalid, &invalid))
}

/// An actor, empty for `anonymous`, or the client's mistake.
pub(crate) fn actor(text: &str) -> Result<Actor> {
    if text.is_empty() {
        return Ok(Actor::anonymous());
    }
    text.parse().map_err(|invalid| Error::invalid(Code::ActorInvalid, &invalid))
}

/// Who asks for a change, or the client's mistake.
pub(crate) fn author(actor_text: &str, request_id_text: &str) -> Result<Author> {
    Ok(Author { actor: actor(actor_text)?, request_id: request_id(request_id_text)? })
}

/// What to do when a path is taken, `default` when the client does not say, or the client's mistake.
pub(crate) fn on_conflict(number: i32, default: OnConflict) -> Result<OnConflict> {
    use proto::v1::OnConflict as Asked;
    match Asked::try_from(number) {
        Ok(Asked::Unspecified) => Ok(default),
        Ok(Asked::Overwrite) => Ok(OnConflict::Overwrite),
        Ok(Asked::Fail) => Ok(OnConflict::Fail),
        Ok(Asked::KeepBoth) => Ok(OnConflict::KeepBoth),
        Err(_) => Err(Error::new(Code::OnConflictInvalid, format!("{number} is not one of the answers to a conflict"))),
    }
}

/// A folder's path, empty for the space's root, or the client's mistake.
pub(crate) fn folder(text: &str) -> Result<Option<Path>> {
    if text.is_empty() { Ok(None) } else { path(text).map(Some) }
}

/// A file's or a folder's id, or the client's mistake.
pub(crate) fn item(file_id: &str, folder_id: &str) -> Result<Item> {
    let invalid = |invalid| Error::invalid(Code::IdInvalid, &invalid);
    match (file_id, folder_id) {
        (file, "") if !file.is_empty() => file.parse().map(Item::File).map_err(invalid),
        ("", folder) if !folder.is_empty() => folder.parse().map(Item::Folder).map_err(invalid),
        _ => Err(Error::new(Code::IdInvalid, "the request must name either a file id or a folder id")),
    }
}

/// When in the past something is asked for: a sequence or a time; empty for now, or the client's mistake.
pub(crate) fn at(text: &str) -> Result<Option<At>> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(sequence) = text.parse() {
        return Ok(Some(At::Sequence(sequence)));
    }
    OffsetDateTime::parse(text, &Rfc3339).map(At::Time).map(Some).map_err(|_| {
        Error::new(Code::SequenceInvalid, format!("{text:?} is neither a sequence nor a time as in RFC 3339"))
    })
}

/// A version's id, empty for the current one, or the client's mistake.
pub(crate) fn version_id(text: &str) -> Result<Option<VersionId>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A space's id, or the client's mistake.
pub(crate) fn space_id(text: &str) -> Result<SpaceId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A file's id, or the client's mistake.
pub(crate) fn file_id(text: &str) -> Result<FileId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A blob's id, or the client's mistake.
pub(crate) fn blob_id(text: &str) -> Result<BlobId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A node's name, or the client's mistake.
pub(crate) fn node(text: &str) -> Result<NodeId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// An upload session's id, or the client's mistake.
pub(crate) fn upload_id(text: &str) -> Result<Uuid> {
    text.parse().map_err(|_| Error::new(Code::IdInvalid, "the upload id is not a UUID"))
}

/// An event's id, or the client's mistake.
pub(crate) fn event_id(text: &str) -> Result<EventId> {
    text.parse().map_err(|invalid| Error::invalid(Code::IdInvalid, &invalid))
}

/// A sequence, empty for none, or the client's mistake.
pub(crate) fn min_sequence(text: &str) -> Result<Option<Sequence>> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|invalid| Error::invalid(Code::SequenceInvalid, &invalid))
}

/// A sequence, or the client's mistake.
pub(crate) fn sequence(text: &str) -> Result<Sequence> {
    text.parse().map_err(|invalid| Error::invalid(Code::SequenceInvalid, &invalid))
}

/// A page's size: 0 means `default`, more than `max` is the client's mistake.
pub(crate) fn page_size(asked: u32, default: u32, max: u32) -> Result<u32> {
    match asked {
        0 => Ok(default),
        asked if asked <= max => Ok(asked),
        asked => {
            let problem = format!("the page size is {asked}; at most {max} are allowed");
            Err(Error::new(Code::PageSizeInvalid, problem).fact("limit", max))
        }
    }
}
