use std::collections::HashSet;

use super::*;

#[test]
fn every_reason_is_a_word_of_its_own() {
    let reasons: HashSet<&str> = Code::ALL.iter().map(|code| code.reason()).collect();
    assert_eq!(reasons.len(), Code::ALL.len());
    for reason in reasons {
        assert!(reason.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{reason}");
    }
}

#[test]
fn the_reason_and_the_facts_travel_as_error_info() {
    let error = Error::new(Code::CatalogBehind, "the catalog is 3 events behind").fact("events_behind", 3);
    let status = tonic::Status::from(error);
    assert_eq!(status.code(), tonic::Code::Unavailable);
    assert_eq!(status.message(), "the catalog is 3 events behind");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("catalog_behind", DOMAIN));
    assert_eq!(info.metadata.get("events_behind").map(String::as_str), Some("3"));
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[test]
fn only_errors_that_pass_by_themselves_say_when_to_try_again() {
    for code in Code::ALL.iter().copied() {
        let passes = matches!(code.grpc(), tonic::Code::Unavailable | tonic::Code::ResourceExhausted);
        let details = tonic::Status::from(Error::new(code, "no")).get_error_details();
        assert_eq!(details.retry_info().is_some(), passes, "{code:?}");
    }
}

#[test]
fn what_went_wrong_inside_is_not_sent() {
    let status = tonic::Status::from(Error::internal("password is hunter2"));
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(!status.message().contains("hunter2"));
    assert!(!String::from_utf8_lossy(status.details()).contains("hunter2"));
}

#[test]
fn an_invalid_word_becomes_a_sentence() {
    let invalid = "a//b".parse::<proto::Path>().unwrap_err();
    let error = Error::invalid(Code::PathInvalid, &invalid);
    assert_eq!(error.to_string(), "the path has an empty name (two slashes in a row)");
}
