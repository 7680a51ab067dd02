//! How long reads of a large folder take. Measured only when asked for, with `--ignored --nocapture`: how fast a machine is
//! is no property of the program.

use std::time::{Duration, Instant};

use catalog::{FolderListing, FolderLookup, Keep, Reader};
use proto::SpaceId;

use crate::short::time_of;
use crate::world::{Journal, World, main_space, path};

/// A million current names in `big`, one from each sequence from 101 on, in no order, so that what belongs to neighbours is
/// never close together (blobs have ids by time, as real ones do); every third of them had another file
/// before, and every tenth a neighbour that is gone since 1,100,000.
const FILL: &str = "
CREATE TEMPORARY TABLE made AS
    SELECT i, md5('file' || i)::uuid AS file_id, md5('version' || i)::uuid AS version_id, (lpad(to_hex(i), 12, '0') || '70008000000000000000')::uuid AS blob_id
    FROM generate_series(1, 1000000) AS i;
INSERT INTO blobs (blob_id, space_id, size_bytes, sha256, origin_node, first_seq, created_at, refs, state, state_seq)
    SELECT blob_id, space_id, i, sha256(i::text::bytea), 'node-a', 100 + i, to_timestamp(100 + i), 1, 'live', 100 + i
    FROM made CROSS JOIN spaces;
INSERT INTO replicas (blob_id, node, state, seq, fence_seq, attempts)
    SELECT blob_id, node, 'stored', 100 + i, 0, 0 FROM made CROSS JOIN nodes;
INSERT INTO files (file_id, space_id, version_id, created_seq, changed_seq)
    SELECT file_id, space_id, version_id, 100 + i, 100 + i FROM made CROSS JOIN spaces;
INSERT INTO versions (version_id, file_id, kind, blob_id, seq, event_id, content_type, created_at, actor)
    SELECT version_id, file_id, 'upload', blob_id, 100 + i, version_id, '', to_timestamp(100 + i), 'anonymous' FROM made;
INSERT INTO names (parent_id, name, from_seq, to_seq, target_kind, target_id)
    SELECT folder_id, md5(i::text), 100 + i, NULL, 'file', file_id FROM made CROSS JOIN folders WHERE folder_id <> space_id
  UNION ALL
    SELECT folder_id, md5(i::text), 50, 100 + i, 'file', file_id FROM made CROSS JOIN folders
    WHERE folder_id <> space_id AND i % 3 = 0
  UNION ALL
    SELECT folder_id, md5(i::text) || ' gone', 100 + i, 1100000 + i, 'file', file_id FROM made CROSS JOIN folders
    WHERE folder_id <> space_id AND i % 10 = 0;
INSERT INTO versions (version_id, file_id, kind, blob_id, seq, event_id, content_type, created_at, actor)
    SELECT md5('old' || i)::uuid, file_id, 'upload', blob_id, 50, version_id, '', to_timestamp(50), 'anonymous' FROM made
    WHERE i % 3 = 0;
UPDATE files SET changed_seq = 2000000 WHERE file_id IN (SELECT file_id FROM made WHERE i % 3 = 0);
ANALYZE;
";

/// The names of `big` at a sequence by pages: how many, and how long the pages took.
async fn walk(reader: &Reader, at: Option<u64>, limit: u32, most: usize) -> (usize, Vec<Duration>) {
    let (space, folder) = (main_space(), path("big"));
    let (mut entries, mut times, mut token) = (0, Vec::new(), String::new());
    loop {
        let listing = FolderListing { space: &space, folder: Some(&folder), at, limit, page_token: &token };
        let begun = Instant::now();
        let FolderLookup::Page(page) = reader.list_folder(listing).await.unwrap() else { panic!("it is a folder") };
        times.push(begun.elapsed());
        entries += page.entries.len();
        token = page.next_page_token;
        if token.is_empty() || times.len() == most {
            return (entries, times);
        }
    }
}

/// How long the statement takes without what the client does with its rows, at some places in the folder: with the plan that
/// Postgres keeps for all of them, as after the first few reads of a connection.
fn in_postgres(world: &World, schema: &str, at: Option<u64>, limit: u32) -> String {
    let statement = include_str!("../../src/reader/folder.sql");
    let (n, names, past) = at.map_or((i64::MAX.cast_unsigned(), limit + 1, 0), |n| (n, limit + 51, limit + 51));
    let ask = |after: &str| {
        let page = format!("EXECUTE page ('main', '{{big}}', {n}, '{after}', 0, {}, {names}, {past})", limit + 1);
        format!("EXPLAIN (ANALYZE, TIMING OFF) {page};")
    };
    let plans = world.sql(&format!(
        "SET search_path TO {schema}; SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
         SET jit = off; SET plan_cache_mode = force_generic_plan;
         PREPARE page (text, text[], bigint, text, bigint, bigint, bigint, bigint) AS {statement}; {}",
        ["", "0", "3", "7", "8", "b", "ff"].map(ask).concat()
    ));
    let plans = plans.unwrap();
    let times = plans.lines().filter_map(|line| line.split_once("Execution Time: ")).map(|(_, time)| time);
    times.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
#[ignore = "makes a million files, and measures"]
async fn pages_of_a_million() {
    let mut journal = Journal::begun(1);
    journal.folder("big");
    let (world, writer, reader) = World::with(&journal).await.unwrap();
    let begun = Instant::now();
    world.sql(&format!("SET search_path TO {}; {FILL}", writer.generation().schema())).unwrap();
    println!("made in {:?}", begun.elapsed());
    let schema = writer.generation().schema();
    for (at, expected) in [
        (None, 1_000_000),
        (Some(1_050_000), 1_100_000),
        (Some(500_100), 500_000 + 166_667 + 50_000),
        (Some(60), 333_333),
        (Some(1_600_000), 1_000_000 + 50_000),
        (Some(40), 0),
    ] {
        for (limit, most) in [(1000, usize::MAX), (100, 500)] {
            let (entries, mut times) = walk(&reader, at, limit, most).await;
            times.sort();
            let of = |share: usize| times[(times.len() - 1) * share / 100];
            println!(
                "at {at:?}, {} pages of {limit}: {entries} entries; median {:?}, 99% {:?}, longest {:?}",
                times.len(),
                of(50),
                of(99),
                of(100)
            );
            println!("  in Postgres alone: {}", in_postgres(&world, &schema, at, limit));
            assert!(limit < 1000 || entries == expected, "{entries} entries at {at:?}");
        }
    }
    let begun = Instant::now();
    let usage = reader.usage(&main_space(), None).await.unwrap();
    println!("{usage:?} in {:?}", begun.elapsed());
    search(&reader, journal.space()).await;
}

async fn search(reader: &Reader, space: SpaceId) {
    for keep in [Keep { versions: Some(1), before: None }, Keep { versions: Some(2), before: Some(time_of(1)) }] {
        for limit in [1000, 10_000] {
            let begun = Instant::now();
            let (found, _) = reader.prunable(space, keep, None, limit).await.unwrap();
            println!("{} of {limit} prunable by {keep:?} in {:?}", found.len(), begun.elapsed());
        }
    }
}
