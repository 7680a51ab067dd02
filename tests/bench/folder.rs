//! Listing a folder of a million entries through the gateway, by pages.

use std::time::{Duration, Instant};

use anyhow::ensure;
use proto::v1;
use tests::{Client, Cluster};

use crate::database::Database;

/// Entries of the folder.
const ENTRIES: u64 = 1_000_000;

/// Made in the catalog itself: through the journal it would take a quarter of an hour. The ids of files and versions are
/// in no order, those of blobs go by time, as real ones do.
const FILL: &str = "
CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    SELECT i, md5('file' || i)::uuid AS file_id, md5('version' || i)::uuid AS version_id,
        (lpad(to_hex(i), 12, '0') || '70008000000000000000')::uuid AS blob_id, s.space_id, c.n, t.target_id AS folder_id
    FROM generate_series(1, 1000000) AS i CROSS JOIN checkpoint AS c
    CROSS JOIN (SELECT space_id FROM spaces WHERE name = 'main' AND deleted_seq IS NULL) AS s
    CROSS JOIN (SELECT target_id FROM names WHERE name = 'big' AND to_seq IS NULL) AS t;
INSERT INTO blobs (blob_id, space_id, size_bytes, sha256, origin_node, first_seq, created_at, refs, state, state_seq)
    SELECT blob_id, space_id, i, sha256(i::text::bytea), 'node-a', n, to_timestamp(i), 1, 'live', n FROM made;
INSERT INTO replicas (blob_id, node, state, seq, fence_seq, attempts)
    SELECT blob_id, node, 'stored', n, 0, 0 FROM made CROSS JOIN nodes;
INSERT INTO files (file_id, space_id, version_id, created_seq, changed_seq)
    SELECT file_id, space_id, version_id, n, n FROM made;
INSERT INTO versions (version_id, file_id, kind, blob_id, seq, event_id, content_type, created_at, actor)
    SELECT version_id, file_id, 'upload', blob_id, n, version_id, '', to_timestamp(i), 'anonymous' FROM made;
INSERT INTO names (parent_id, name, from_seq, to_seq, target_kind, target_id)
    SELECT folder_id, md5(i::text), n, NULL, 'file', file_id FROM made;
";

/// What a page has when nobody says otherwise: `limits.page_size`.
const DEFAULT_PAGE: u32 = 250;

/// Answers its rows. The catalog is not the fold of the journal any more after this.
pub(crate) async fn measure(cluster: &Cluster) -> anyhow::Result<Vec<Vec<String>>> {
    let mut client = cluster.client().await?;
    let request = v1::CreateFolderRequest { path: "big".to_owned(), ..Default::default() };
    client.files.create_folder(request).await?;
    let database = Database::open(cluster).await?;
    database.run(FILL).await?;
    database.run("ANALYZE blobs; ANALYZE replicas; ANALYZE files; ANALYZE versions; ANALYZE names;").await?;
    database.close().await;
    let mut rows = Vec::new();
    for (page_size, most) in [(1000, usize::MAX), (DEFAULT_PAGE, 2000)] {
        let (entries, mut times) = walk(&mut client, page_size, most).await?;
        ensure!(most < usize::MAX || entries == ENTRIES, "{entries} entries");
        times.sort();
        let of = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
        rows.push(vec![
            format!("a page of {page_size} of a folder of 1 M entries"),
            format!("{:.1} ms at the median, {:.1} ms at the 99th percentile", of(50), of(99)),
        ]);
    }
    Ok(rows)
}

async fn walk(client: &mut Client, page_size: u32, most: usize) -> anyhow::Result<(u64, Vec<Duration>)> {
    let (mut entries, mut times, mut page_token) = (0, Vec::new(), String::new());
    loop {
        let request = v1::ListFolderRequest {
            path: "big".to_owned(),
            page_size,
            page_token: std::mem::take(&mut page_token),
            ..Default::default()
        };
        let begun = Instant::now();
        let page = client.files.list_folder(request).await?.into_inner();
        times.push(begun.elapsed());
        entries += page.entries.len() as u64;
        if page.next_page_token.is_empty() || times.len() == most {
            return Ok((entries, times));
        }
        page_token = page.next_page_token;
    }
}
