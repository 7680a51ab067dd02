//! Listing by pages, in the byte order of paths.

use catalog::{Error, Listing, Reader};
use proto::Path;

use crate::world::{Journal, PATIENCE, World, fold, main_space, path};

/// Names whose order in a tree is not the order of their paths.
const PATHS: [&str; 18] = [
    "a",
    "a b/x",
    "a-b",
    "a.txt",
    "aa/bb/cc/dd",
    "aa/bb/cc0",
    "aa/bb!",
    "aa/bb-/z",
    "aa0",
    "A",
    "Z/z/Z/z",
    "b/a",
    "b/b",
    "b/c",
    "é/ü",
    "z\u{10FFFF}/x",
    "b0",
    "~",
];

fn journal() -> Journal {
    let mut journal = Journal::begun(1);
    for text in PATHS {
        journal.upload(text, text.len() as u64);
    }
    journal
}

async fn page(reader: &Reader, folder: Option<&Path>, limit: u32, token: &str) -> (Vec<String>, String) {
    match reader.list(&main_space(), folder, limit, token).await.expect("the catalog is there") {
        Listing::Page { files, next_page_token } => {
            (files.iter().map(|file| file.path.to_string()).collect(), next_page_token)
        }
        other => panic!("{other:?}"),
    }
}

async fn pages(reader: &Reader, folder: Option<&Path>, limit: u32) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (mut files, next) = page(reader, folder, limit, &token).await;
        assert!(files.len() <= limit as usize && (!files.is_empty() || next.is_empty()));
        all.append(&mut files);
        if next.is_empty() {
            return all;
        }
        token = next;
    }
}

#[tokio::test]
async fn pages_of_any_size_go_in_the_byte_order_of_paths() {
    let (_world, _writer, reader) = World::with(&journal()).await.unwrap();
    let mut sorted: Vec<String> = PATHS.iter().map(ToString::to_string).collect();
    sorted.sort();
    for limit in [1, 2, 3, 5, 17, 18, 1000] {
        assert_eq!(pages(&reader, None, limit).await, sorted, "pages of {limit}");
    }
    for folder in ["aa", "aa/bb", "b", "Z/z", "é"] {
        let below: Vec<String> = sorted.iter().filter(|p| p.starts_with(&format!("{folder}/"))).cloned().collect();
        for limit in [1, 2, 100] {
            assert_eq!(pages(&reader, Some(&path(folder)), limit).await, below, "{folder} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_listing_has_the_current_version_and_counts_replicas() {
    let mut journal = journal();
    let (_, blob) = journal.upload("b/b", 77);
    journal.stored("node-c", &[blob]);
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let listed = reader.list(&main_space(), Some(&path("b")), 10, "").await.unwrap();
    let Listing::Page { files, .. } = listed else { panic!("{listed:?}") };
    let found: Vec<_> =
        files.iter().map(|f| (f.path.as_str(), f.blob.size_bytes, f.replicas_stored, f.replicas_wanted)).collect();
    assert_eq!(found, [("b/a", 3, 1, 3), ("b/b", 77, 2, 3), ("b/c", 3, 1, 3)]);
}

#[tokio::test]
async fn what_is_not_there_is_told_apart_from_what_is_empty() {
    let world = World::new().await.unwrap();
    let (_writer, reader) = world.build(&Journal::begun(1)).await.unwrap();
    let empty = reader.list(&main_space(), None, 10, "").await.unwrap();
    assert!(matches!(&empty, Listing::Page { files, .. } if files.is_empty()), "{empty:?}");
    let nothing = reader.list(&main_space(), Some(&path("no/where")), 10, "").await.unwrap();
    assert!(matches!(nothing, Listing::NoFolder), "{nothing:?}");
    let nowhere = reader.list(&"other".parse().unwrap(), None, 10, "").await.unwrap();
    assert!(matches!(nowhere, Listing::NoSpace), "{nowhere:?}");
}

#[tokio::test]
async fn files_that_come_meanwhile_move_no_other() {
    let mut journal = journal();
    let (_world, mut writer, reader) = World::with(&journal).await.unwrap();
    let (first, token) = page(&reader, None, 9, "").await;
    for text in ["0 before", "aa/bb/before", "b/after", "zz after"] {
        journal.upload(text, 1);
    }
    fold(&mut writer, &journal, 10).await.unwrap();
    reader.wait_for(journal.head(), PATIENCE).await.unwrap();
    let (second, _) = page(&reader, None, 1000, &token).await;
    let old: Vec<&String> = first.iter().chain(&second).filter(|p| PATHS.contains(&p.as_str())).collect();
    let mut sorted = PATHS.to_vec();
    sorted.sort_unstable();
    assert_eq!(old, sorted);
    assert!(second.contains(&"zz after".to_owned()) && !second.contains(&"0 before".to_owned()));
}

#[tokio::test]
async fn tokens_are_good_for_their_question_only() {
    let (_world, _writer, reader) = World::with(&journal()).await.unwrap();
    let (_, token) = page(&reader, None, 2, "").await;
    let bad = format!("00{}", &token[2..]);
    for (folder, token) in [(Some("b"), token.as_str()), (None, "nonsense"), (None, "00"), (None, bad.as_str())] {
        let folder = folder.map(path);
        let error = reader.list(&main_space(), folder.as_ref(), 2, token).await.unwrap_err();
        assert!(matches!(error, Error::PageToken { .. }), "{token}: {error:?}");
    }
}

#[tokio::test]
async fn deep_and_wide_trees_are_walked() {
    let mut journal = Journal::begun(3);
    let deep = vec!["d"; 300].join("/");
    journal.upload(&deep, 1);
    for i in 0..1500 {
        journal.upload(&format!("wide/{:04}", (i * 7919) % 1500), 1);
    }
    let (_world, _writer, reader) = World::with(&journal).await.unwrap();
    let all = pages(&reader, None, 400).await;
    assert_eq!(all.len(), 1501);
    assert!(all.is_sorted());
    assert_eq!(all[0], deep);
}
