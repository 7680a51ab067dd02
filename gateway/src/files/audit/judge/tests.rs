use uuid::{NoContext, Timestamp, Uuid};

use super::*;

const NOW: OffsetDateTime = time::macros::datetime!(2026-11-23 12:00 UTC);

fn ages() -> Ages {
    Ages { now: NOW, orphan_grace: Duration::from_hours(48), settle: Duration::from_mins(10), restored_at: None }
}

fn row(state: BlobState, replica: Option<ReplicaState>) -> Audited {
    Audited {
        blob_id: BlobId::new(Uuid::nil()),
        size_bytes: 5,
        sha256: Sha256Digest::of(b"right"),
        slices: None,
        state,
        replica: replica.map(|state| (state, 7)),
    }
}

fn seen(size_bytes: u64, minutes: u64) -> Seen {
    let object = Some(Object { size_bytes, sha256: None });
    Seen { object, modified: Some(NOW - Duration::from_mins(minutes)), ..Seen::default() }
}

fn found(seen: &Seen, row: Option<&Audited>) -> Option<Difference> {
    judge(BlobId::new(Uuid::nil()), seen, row, &ages()).map(|(difference, detail)| {
        assert!(!detail.is_empty() && !detail.ends_with('.'), "{detail}");
        difference
    })
}

#[test]
fn what_is_stored_is_there_and_right() {
    let stored = row(BlobState::Live, Some(ReplicaState::Stored));
    assert_eq!(found(&seen(5, 0), Some(&stored)), None);
    assert_eq!(found(&Seen::default(), Some(&stored)), Some(Difference::Missing));
    assert_eq!(found(&seen(4, 0), Some(&stored)), Some(Difference::Truncated));
    assert_eq!(found(&seen(6, 0), Some(&stored)), Some(Difference::Truncated));
    let read = |bytes: &[u8]| {
        let object = Some(Object { size_bytes: 5, sha256: Some(Sha256Digest::of(bytes)) });
        Seen { object, ..Seen::default() }
    };
    assert_eq!(found(&read(b"right"), Some(&stored)), None);
    assert_eq!(found(&read(b"wrong"), Some(&stored)), Some(Difference::Corrupt));
    let condemned = row(BlobState::Condemned, Some(ReplicaState::Stored));
    assert_eq!(found(&Seen::default(), Some(&condemned)), Some(Difference::Missing));
}

#[test]
fn the_digests_of_slices_belong_to_it() {
    let list = Sha256Digest::of(b"list");
    let stored =
        Audited { size_bytes: 25, slices: Some((list, 10)), ..row(BlobState::Live, Some(ReplicaState::Stored)) };
    assert_eq!(parts_bytes(&stored), Some(3 * 32));
    let with = |parts| Seen { parts, ..seen(25, 0) };
    assert_eq!(found(&with(None), Some(&stored)), Some(Difference::Parts));
    let parts = |size_bytes, sha256| Some(Object { size_bytes, sha256 });
    assert_eq!(found(&with(parts(96, None)), Some(&stored)), None);
    assert_eq!(found(&with(parts(64, None)), Some(&stored)), Some(Difference::Parts));
    assert_eq!(found(&with(parts(96, Some(list))), Some(&stored)), None);
    assert_eq!(found(&with(parts(96, Some(Sha256Digest::of(b"other")))), Some(&stored)), Some(Difference::Parts));
    assert_eq!(found(&Seen { object: None, ..with(parts(96, None)) }, Some(&stored)), Some(Difference::Missing));
}

#[test]
fn what_no_event_names_is_an_orphan_once_it_is_old() {
    let hour = 60;
    assert_eq!(found(&seen(5, 47 * hour), None), None);
    assert_eq!(found(&seen(5, 49 * hour), None), Some(Difference::Orphan));
    let ageless = Seen { modified: None, ..seen(5, 49 * hour) };
    assert_eq!(found(&ageless, None), None);
    let only_parts = Seen { object: None, parts: ageless.object, ..seen(0, 49 * hour) };
    assert_eq!(found(&only_parts, None), Some(Difference::Orphan));
    assert_eq!(found(&Seen::default(), None), None);
}

#[test]
fn what_may_have_been_named_by_a_lost_event_is_no_orphan() {
    let restored = NOW - Duration::from_hours(100);
    let ages = Ages { restored_at: Some(restored), ..ages() };
    let begun = |at: OffsetDateTime| {
        let seconds = at.unix_timestamp().try_into().unwrap();
        BlobId::new(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0)))
    };
    let found = |blob_id, seen: &Seen| judge(blob_id, seen, None, &ages).map(|(difference, _)| difference);
    let (old, hour) = (seen(5, 49 * 60), Duration::from_hours(1));
    assert_eq!(found(begun(restored - hour), &old), Some(Difference::Recoverable));
    assert_eq!(found(begun(restored - hour), &seen(5, 0)), Some(Difference::Recoverable));
    assert_eq!(found(begun(restored + hour), &old), Some(Difference::Recoverable), "clocks differ");
    assert_eq!(found(begun(restored + 2 * hour), &old), Some(Difference::Orphan));
    assert_eq!(found(begun(restored + 2 * hour), &seen(5, 0)), None);
    assert_eq!(found(BlobId::new(Uuid::nil()), &old), Some(Difference::Recoverable));
    let only_parts = Seen { object: None, parts: old.object, ..old };
    assert_eq!(found(begun(restored - hour), &only_parts), None, "another node may have the object");
    assert_eq!(found(begun(restored + 2 * hour), &only_parts), Some(Difference::Orphan));
}

#[test]
fn what_was_erased_stays_away_but_for_a_moment() {
    let erased = [
        row(BlobState::Erased, None),
        row(BlobState::Erased, Some(ReplicaState::Erased)),
        row(BlobState::Erasing, Some(ReplicaState::Erased)),
    ];
    for row in &erased {
        assert_eq!(found(&seen(5, 9), Some(row)), None, "a copy that is about to be undone");
        assert_eq!(found(&seen(5, 11), Some(row)), Some(Difference::Resurrected));
        assert_eq!(found(&Seen::default(), Some(row)), None);
    }
    for row in [row(BlobState::Erasing, Some(ReplicaState::Erasing)), row(BlobState::Condemned, None)] {
        assert_eq!(found(&seen(5, 11), Some(&row)), None);
        assert_eq!(found(&Seen::default(), Some(&row)), None);
    }
}

#[test]
fn a_copy_that_the_catalog_does_not_know_is_told_once_nobody_reports_it() {
    for state in [Some(ReplicaState::Pending), Some(ReplicaState::Parked), Some(ReplicaState::Lost), None] {
        let row = row(BlobState::Live, state);
        assert_eq!(found(&seen(5, 9), Some(&row)), None);
        assert_eq!(found(&seen(5, 11), Some(&row)), Some(Difference::Unreported));
        assert_eq!(found(&seen(4, 11), Some(&row)), None);
        assert_eq!(found(&Seen::default(), Some(&row)), None);
    }
}
