//! Every precondition with every conflict rule at every kind of place, as one table for each change of a path.

use std::collections::BTreeSet;
use std::fmt::Debug;

use fold::rows::{BlobState, Outcome};
use proto::{
    Fact, FileCopied, FileDeleted, FileMoved, FileUndeleted, FileUploaded, FolderCreated, FolderDeleted, FolderId,
    Item, OnConflict, SpaceId, VersionId, VersionRestored,
};
use uuid::Uuid;

use crate::journal::main_space;
use crate::world::{World, create_folder, delete_space, instant, undelete};

use Given::{Nothing, Right, Wrong};
use There::{Absent, BelowAFile, File, Folder, SpaceDeleted, SpaceGone};

/// What is at the path where something shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum There {
    /// Nothing any more.
    Absent,
    File,
    Folder,
    /// The folder that it would be in is a file.
    BelowAFile,
    /// There never was such a space.
    SpaceGone,
    /// The space was deleted, with a file at the path.
    SpaceDeleted,
}

/// Which `if_version` comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Nothing,
    /// What the client saw last: of the file that is, or was, at the path.
    Right,
    /// One that never was.
    Wrong,
}

const ALL_THERE: [There; 6] = [Absent, File, Folder, BelowAFile, SpaceGone, SpaceDeleted];
const ALL_GIVEN: [Given; 3] = [Nothing, Right, Wrong];
/// The columns of the tables.
const RULES: [OnConflict; 3] = [OnConflict::Overwrite, OnConflict::Fail, OnConflict::KeepBoth];

/// A world with something at a path.
struct Place {
    world: World,
    path: &'static str,
    space_id: SpaceId,
    seen: VersionId,
}

impl Place {
    fn of(there: There) -> Self {
        let mut world = World::with(&["source", "source", "dir/x", "t"]);
        let seen = world.version("t");
        if matches!(there, Absent | Folder) {
            world.file_deleted("t");
        }
        if there == Folder {
            world.when(create_folder("t")).applied();
        }
        let path = if there == BelowAFile { "t/x" } else { "t" };
        let space_id = if there == SpaceGone { SpaceId::new(Uuid::from_u128(7)) } else { main_space() };
        Self { world, path, space_id, seen }
    }

    const fn given(&self, given: Given) -> Option<VersionId> {
        match given {
            Nothing => None,
            Right => Some(self.seen),
            Wrong => Some(VersionId::new(Uuid::nil())),
        }
    }

    /// What becomes of a fact, in a word or two. What is rejected has changed nothing.
    fn told(mut self, there: There, fact: Fact) -> String {
        if there == SpaceDeleted {
            self.world.when(delete_space(main_space(), true)).applied();
        }
        let brings_bytes = matches!(&fact, Fact::FileUploaded(uploaded) if !uploaded.instant);
        let then = self.world.when(fact);
        let reason = then.receipt.reason.clone().unwrap_or_default();
        let path = then.receipt.path.as_ref().map(ToString::to_string).unwrap_or_default();
        match then.receipt.outcome {
            Outcome::Applied => {
                then.applied();
                assert_eq!(path, self.path);
                "applied".to_owned()
            }
            Outcome::ConflictedCopy => {
                let name = if there == BelowAFile { "x" } else { "t" };
                let recovered = matches!(there, SpaceGone | SpaceDeleted);
                let named = format!("{name} (conflicted copy alice 2026-11-23)");
                then.copied(&reason, if recovered { "main/t" } else { &named });
                format!("copy {reason}")
            }
            Outcome::Rejected => {
                if brings_bytes {
                    then.rejected_upload(&reason);
                    let blob = then.receipt.blob_id.unwrap();
                    let row = &self.world.store.blobs[&blob];
                    assert_eq!((row.state, row.refs), (BlobState::Live, 0), "its bytes have an owner");
                } else {
                    then.rejected(&reason);
                }
                format!("no {reason}")
            }
            Outcome::Repeated => panic!("the id is new"),
        }
    }
}

/// The rows are complete: each combination stands there once.
fn complete<K: Ord + Debug>(rows: impl IntoIterator<Item = K>, wanted: usize) {
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    for row in rows {
        count += 1;
        assert!(seen.insert(row), "a row stands there twice");
    }
    assert_eq!((seen.len(), count), (wanted, wanted));
}

/// What is there, the precondition; then what becomes of it with overwrite, fail, and keep both.
type Row<G> = (There, G, [&'static str; 3]);

fn check<G: Copy + Ord + Debug>(
    rows: &[Row<G>],
    givens: usize,
    fact: impl Fn(&mut Place, There, G, OnConflict) -> Fact,
) {
    complete(rows.iter().map(|(there, given, _)| (*there, *given)), ALL_THERE.len() * givens);
    for &(there, given, expected) in rows {
        for (on_conflict, expected) in RULES.into_iter().zip(expected) {
            let mut place = Place::of(there);
            let fact = fact(&mut place, there, given, on_conflict);
            let told = place.told(there, fact);
            assert_eq!(told, expected, "{there:?}, {given:?} version, {on_conflict:?}");
        }
    }
}

const A: &str = "applied";

#[test]
fn uploads() {
    const BELOW: &str = "no parent_is_a_file";
    const GONE: &str = "no space_gone";
    const CHANGED: &str = "no version_changed";
    const TAKEN: &str = "no name_taken_by_folder";
    let rows = [
        (Absent, Nothing, [A, A, A]),
        (Absent, Right, [CHANGED, CHANGED, A]),
        (Absent, Wrong, [CHANGED, CHANGED, A]),
        (File, Nothing, [A, "no file_exists", "copy file_exists"]),
        (File, Right, [A, A, A]),
        (File, Wrong, [CHANGED, CHANGED, "copy version_changed"]),
        (Folder, Nothing, ["copy name_taken_by_folder", TAKEN, "copy name_taken_by_folder"]),
        (Folder, Right, [TAKEN, TAKEN, "copy name_taken_by_folder"]),
        (Folder, Wrong, [TAKEN, TAKEN, "copy name_taken_by_folder"]),
        (BelowAFile, Nothing, ["copy parent_is_a_file", BELOW, "copy parent_is_a_file"]),
        (BelowAFile, Right, [BELOW, BELOW, "copy parent_is_a_file"]),
        (BelowAFile, Wrong, [BELOW, BELOW, "copy parent_is_a_file"]),
        (SpaceGone, Nothing, ["copy space_gone", GONE, "copy space_gone"]),
        (SpaceGone, Right, [GONE, GONE, "copy space_gone"]),
        (SpaceGone, Wrong, [GONE, GONE, "copy space_gone"]),
        (SpaceDeleted, Nothing, ["copy space_gone", GONE, "copy space_gone"]),
        (SpaceDeleted, Right, [GONE, GONE, "copy space_gone"]),
        (SpaceDeleted, Wrong, [GONE, GONE, "copy space_gone"]),
    ];
    check(&rows, ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let (space_id, if_version) = (place.space_id, place.given(given));
        Fact::FileUploaded(FileUploaded { space_id, if_version, on_conflict, ..place.world.upload(place.path) })
    });
    // An instant one is the same, but for spaces that are gone, where nothing is known.
    let gone = |(there, given, expected): Row<Given>| match there {
        SpaceGone | SpaceDeleted => (there, given, [GONE; 3]),
        _ => (there, given, expected),
    };
    check(&rows.map(gone), ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let upload = place.world.uploaded("source");
        let (space_id, if_version) = (place.space_id, place.given(given));
        Fact::FileUploaded(FileUploaded { space_id, if_version, on_conflict, ..instant(place.path, &upload) })
    });
}

#[test]
fn copies() {
    const BELOW: [&str; 3] = ["no parent_is_a_file"; 3];
    const GONE: [&str; 3] = ["no space_gone"; 3];
    const CHANGED: &str = "no version_changed";
    const TAKEN: [&str; 3] = ["no name_taken_by_folder", "no name_taken_by_folder", "copy name_taken_by_folder"];
    let rows = [
        (Absent, Nothing, [A, A, A]),
        (Absent, Right, [CHANGED, CHANGED, A]),
        (Absent, Wrong, [CHANGED, CHANGED, A]),
        (File, Nothing, [A, "no file_exists", "copy file_exists"]),
        (File, Right, [A, A, A]),
        (File, Wrong, [CHANGED, CHANGED, "copy version_changed"]),
        (Folder, Nothing, TAKEN),
        (Folder, Right, TAKEN),
        (Folder, Wrong, TAKEN),
        (BelowAFile, Nothing, BELOW),
        (BelowAFile, Right, BELOW),
        (BelowAFile, Wrong, BELOW),
        (SpaceGone, Nothing, GONE),
        (SpaceGone, Right, GONE),
        (SpaceGone, Wrong, GONE),
        (SpaceDeleted, Nothing, GONE),
        (SpaceDeleted, Right, GONE),
        (SpaceDeleted, Wrong, GONE),
    ];
    check(&rows, ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let (space_id, if_version) = (place.space_id, place.given(given));
        Fact::FileCopied(FileCopied { space_id, if_version, on_conflict, ..place.world.copy_to("source", place.path) })
    });
}

/// What a moved file, and a folder, find at the other path.
const MOVED_FILE: [(There, [&str; 3]); 6] = [
    (Absent, [A, A, A]),
    (File, [A, "no file_exists", "copy file_exists"]),
    (Folder, ["no name_taken_by_folder", "no name_taken_by_folder", "copy name_taken_by_folder"]),
    (BelowAFile, ["no parent_is_a_file"; 3]),
    (SpaceGone, ["no space_gone"; 3]),
    (SpaceDeleted, ["no space_gone"; 3]),
];
const MOVED_FOLDER: [(There, [&str; 3]); 6] = {
    let mut rows = MOVED_FILE;
    rows[1] = (File, ["no file_exists", "no file_exists", "copy file_exists"]);
    rows
};

/// The same whatever else is given, but where the space is gone, which is seen first.
fn each(rows: &[(There, [&'static str; 3])], otherwise: impl Fn(Given) -> Option<&'static str>) -> Vec<Row<Given>> {
    let row = |(there, expected), given| match (otherwise(given), there) {
        (None, _) | (Some(_), SpaceGone | SpaceDeleted) => (there, given, expected),
        (Some(told), _) => (there, given, [told; 3]),
    };
    rows.iter().flat_map(|one| ALL_GIVEN.map(|given| row(*one, given))).collect()
}

#[test]
fn moves() {
    let moved = |place: &mut Place, from: &str, right: Option<VersionId>, given, on_conflict| {
        let if_version = if given == Right { right } else { place.given(given) };
        let space_id = place.space_id;
        Fact::FileMoved(FileMoved { space_id, if_version, on_conflict, ..place.world.move_to(from, place.path) })
    };
    let rows = each(&MOVED_FILE, |given| (given == Wrong).then_some("no version_changed"));
    check(&rows, ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let right = Some(place.world.version("source"));
        moved(place, "source", right, given, on_conflict)
    });
    // A folder has no versions.
    let rows = each(&MOVED_FOLDER, |given| (given != Nothing).then_some("no version_changed"));
    check(&rows, ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let right = Some(place.world.version("dir/x"));
        moved(place, "dir", right, given, on_conflict)
    });
}

/// Here the version that is given is the one to come back with.
#[test]
fn undeletes() {
    let rows = each(&MOVED_FILE, |given| (given == Wrong).then_some("no version_unknown"));
    check(&rows, ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let right = place.world.version("source");
        let item = place.world.file_deleted("source");
        let version_id = if given == Right { Some(right) } else { place.given(given) };
        let (space_id, undeleted) = (place.space_id, undelete(item, place.path));
        Fact::FileUndeleted(FileUndeleted { space_id, version_id, on_conflict, ..undeleted })
    });
    // A folder comes back as it is, whatever version is named.
    check(&each(&MOVED_FOLDER, |_| None), ALL_GIVEN.len(), |place, _, given, on_conflict| {
        let item = place.world.folder_deleted("dir");
        let (space_id, version_id) = (place.space_id, place.given(given));
        let undeleted = undelete(item, place.path);
        Fact::FileUndeleted(FileUndeleted { space_id, version_id, on_conflict, ..undeleted })
    });
}

/// Without a conflict rule: what is there, the precondition, and what becomes of it.
fn check_one<const N: usize>(rows: [(There, [&str; N]); 6], fact: impl Fn(&mut Place, There, usize) -> Fact) {
    complete(rows.iter().map(|(there, _)| *there), ALL_THERE.len());
    for (there, expected) in rows {
        for (column, expected) in expected.into_iter().enumerate() {
            let mut place = Place::of(there);
            let fact = fact(&mut place, there, column);
            assert_eq!(place.told(there, fact), expected, "{there:?}, column {column}");
        }
    }
}

const GONE: &str = "no space_gone";

/// Of the file that was at the path, without a precondition, with the right, and with a wrong one.
const OF_A_FILE: [(There, [&str; 3]); 6] = [
    (Absent, ["no moved"; 3]),
    (File, [A, A, "no version_changed"]),
    (Folder, ["no moved"; 3]),
    (BelowAFile, ["no moved"; 3]),
    (SpaceGone, [GONE; 3]),
    (SpaceDeleted, [GONE; 3]),
];

#[test]
fn restores() {
    check_one(OF_A_FILE, |place, _, column| {
        let file_id = place.world.store.versions[&place.seen].file_id;
        let (space_id, path, version_id) = (place.space_id, place.path.parse().unwrap(), place.seen);
        let if_version = place.given(ALL_GIVEN[column]);
        let restored = place.world.restore("source", version_id);
        Fact::VersionRestored(VersionRestored { space_id, path, file_id, version_id, if_version, ..restored })
    });
}

#[test]
fn deletes() {
    check_one(OF_A_FILE, |place, _, column| {
        let file_id = place.world.store.versions[&place.seen].file_id;
        let (space_id, path) = (place.space_id, place.path.parse().unwrap());
        let if_version = place.given(ALL_GIVEN[column]);
        Fact::FileDeleted(FileDeleted { space_id, path, file_id, if_version, ..place.world.delete("source") })
    });
}

/// Empty or not, only when it is empty or with all that is in it.
#[test]
fn deleted_folders() {
    let rows = [
        (Absent, ["no moved"; 4]),
        (File, ["no moved"; 4]),
        (Folder, [A, A, "no folder_not_empty", A]),
        (BelowAFile, ["no moved"; 4]),
        (SpaceGone, [GONE; 4]),
        (SpaceDeleted, [GONE; 4]),
    ];
    check_one(rows, |place, there, column| {
        let folder_id = if there == Folder { place.world.folder("t") } else { FolderId::new(Uuid::nil()) };
        if there == Folder && column >= 2 {
            place.world.uploaded("t/x");
        }
        let (space_id, path, recursive) = (place.space_id, place.path.parse().unwrap(), column % 2 == 1);
        Fact::FolderDeleted(FolderDeleted { space_id, path, folder_id, recursive, ..place.world.delete_folder("dir") })
    });
}

#[test]
fn created_folders() {
    let rows = [
        (Absent, [A]),
        (File, ["no file_exists"]),
        (Folder, ["no folder_exists"]),
        (BelowAFile, ["no parent_is_a_file"]),
        (SpaceGone, [GONE]),
        (SpaceDeleted, [GONE]),
    ];
    check_one(rows, |place, _, _| {
        let (space_id, space) = (place.space_id, "main".parse().unwrap());
        Fact::FolderCreated(FolderCreated { space_id, space, path: place.path.parse().unwrap() })
    });
}

/// An item that is not what the change names, whatever else it says.
#[test]
fn what_another_item_has_become() {
    let mut world = World::with(&["a", "dir/x"]);
    let wrong = [Item::Folder(FolderId::new(Uuid::nil())), world.item("dir"), world.item("dir/x")];
    for item in wrong {
        for on_conflict in RULES {
            let moved = FileMoved { item, on_conflict, ..world.move_to("a", "b") };
            world.when(Fact::FileMoved(moved)).rejected("moved");
        }
    }
}
