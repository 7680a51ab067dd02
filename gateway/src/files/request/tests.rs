use super::*;

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code()
}

fn new_file(size_bytes: Option<u64>, sha256: Option<Sha256Digest>) -> NewFile {
    NewFile {
        space: SpaceName::main(),
        path: path("a/b.txt").unwrap(),
        size_bytes,
        sha256,
        content_type: String::new(),
        modified_at: None,
        author: Author { actor: Actor::anonymous(), request_id: None },
        on_conflict: OnConflict::Overwrite,
        if_version: None,
        ack_replicas: 0,
    }
}

#[test]
fn an_empty_space_means_main() {
    assert_eq!(space("").unwrap(), SpaceName::main());
    assert_eq!(code(space("a/b")), Code::SpaceInvalid);
}

#[test]
fn bad_paths_are_refused() {
    let long_name = "n".repeat(256);
    let long_path = ["0123456789"; 400].join("/");
    for text in ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\0b", "a\nb", "\u{7f}", &long_name, &long_path] {
        assert_eq!(code(path(text)), Code::PathInvalid, "{text:?}");
    }
    assert_eq!(path("e\u{301}").unwrap().as_str(), "\u{e9}");
}

#[test]
fn a_digest_has_32_bytes() {
    assert!(sha256(&[7; 32]).is_ok());
    assert_eq!(code(sha256(&[7; 31])), Code::DigestInvalid);
    assert_eq!(code(sha256(&[])), Code::DigestInvalid);
}

#[test]
fn a_content_type_is_short_and_printable() {
    assert_eq!(content_type("text/plain; charset=utf-8").unwrap(), "text/plain; charset=utf-8");
    assert_eq!(content_type("").unwrap(), "");
    assert!(content_type(&"x".repeat(255)).is_ok());
    assert_eq!(code(content_type(&"x".repeat(256))), Code::ContentTypeInvalid);
    assert_eq!(code(content_type("text/plain\r\nx: y")), Code::ContentTypeInvalid);
    assert_eq!(code(content_type("text/plän")), Code::ContentTypeInvalid);
}

#[test]
fn a_time_can_be_written_down() {
    let at = modified_at(1_700_000_000, 5).unwrap();
    assert_eq!((at.unix_timestamp(), at.nanosecond()), (1_700_000_000, 5));
    assert!(modified_at(-62_135_596_800, 0).is_ok());
    for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (253_402_300_800, 0), (-62_135_596_801, 0), (i64::MAX, 0)] {
        assert_eq!(code(modified_at(seconds, nanos)), Code::TimeInvalid, "{seconds}.{nanos}");
    }
}

#[test]
fn names_and_ids_have_defaults() {
    assert_eq!(actor("").unwrap(), Actor::anonymous());
    assert_eq!(code(actor("a\tb")), Code::ActorInvalid);
    assert_eq!(words::request_id("").unwrap(), None);
    assert_eq!(code(words::request_id(&"x".repeat(129))), Code::RequestIdInvalid);
    assert_eq!(version_id("").unwrap(), None);
    assert_eq!(code(version_id("1")), Code::IdInvalid);
    assert_eq!(code(event_id("")), Code::IdInvalid);
    assert_eq!(min_sequence("").unwrap(), None);
    assert_eq!(code(min_sequence("12")), Code::SequenceInvalid);
}

#[test]
fn a_page_has_a_size() {
    assert_eq!(page_size(0, 1000, 10_000).unwrap(), 1000);
    assert_eq!(page_size(10_000, 1000, 10_000).unwrap(), 10_000);
    assert_eq!(code(page_size(10_001, 1000, 10_000)), Code::PageSizeInvalid);
}

#[test]
fn a_declared_size_is_checked_as_soon_as_it_is_exceeded() {
    let file = new_file(Some(10), None);
    assert!(file.check_so_far(10, 100).is_ok());
    assert_eq!(code(file.check_so_far(11, 100)), Code::SizeMismatch);
    assert!(file.check_size(10).is_ok());
    assert_eq!(code(file.check_size(9)), Code::SizeMismatch);
    assert!(new_file(None, None).check_size(9).is_ok());
}

#[test]
fn a_file_has_a_largest_size() {
    assert_eq!(code(new_file(Some(101), None).check_declared(100)), Code::FileTooLarge);
    assert!(new_file(Some(100), None).check_declared(100).is_ok());
    assert_eq!(code(new_file(None, None).check_so_far(101, 100)), Code::FileTooLarge);
}

#[test]
fn a_declared_digest_is_checked() {
    let file = new_file(None, Some(Sha256Digest::of(b"a")));
    assert!(file.check_digest(Sha256Digest::of(b"a")).is_ok());
    assert_eq!(code(file.check_digest(Sha256Digest::of(b"b"))), Code::DigestMismatch);
}

#[test]
fn a_range_ends_with_the_file() {
    let range = |offset, limit| Range { offset, limit };
    assert_eq!(Range::WHOLE.length(10).unwrap(), 10);
    assert_eq!(range(4, None).length(10).unwrap(), 6);
    assert_eq!(range(4, Some(2)).length(10).unwrap(), 2);
    assert_eq!(range(4, Some(u64::MAX)).length(10).unwrap(), 6);
    assert_eq!(range(4, Some(0)).length(10).unwrap(), 0);
    assert_eq!(range(10, None).length(10).unwrap(), 0);
    assert_eq!(Range::WHOLE.length(0).unwrap(), 0);
    assert_eq!(code(range(11, None).length(10)), Code::RangeOutOfRange);
    assert_eq!(code(range(u64::MAX, Some(1)).length(10)), Code::RangeOutOfRange);
}
