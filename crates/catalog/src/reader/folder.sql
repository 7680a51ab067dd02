-- A page of the names in a folder, at a sequence. One row at least: the folder, or as far as the way to it goes.
--   $1 name of the space   $2 names of the folder   $3 the sequence; the largest number there is for now
--   $4, $5 the name, as it sorts, and the end of its time after which the page begins
--   $6 entries wanted      $7 current names to look at, at most    $8 past names to look at, at most
WITH RECURSIVE
way AS (
    SELECT 0 AS depth, s.space_id AS target_id, 'folder'::text COLLATE "C" AS target_kind
    FROM spaces AS s WHERE s.name = $1 AND s.deleted_seq IS NULL
  UNION ALL
    SELECT w.depth + 1, n.target_id, n.target_kind
    FROM way AS w
    CROSS JOIN LATERAL (
        SELECT target_id, target_kind, to_seq FROM names
        WHERE parent_id = w.target_id AND name = ($2::text[])[w.depth + 1] AND from_seq <= $3
        ORDER BY from_seq DESC LIMIT 1
    ) AS n
    WHERE w.target_kind = 'folder' AND w.depth < cardinality($2::text[]) AND (n.to_seq IS NULL OR n.to_seq > $3)
),
reached AS (SELECT w.depth, w.target_kind, w.target_id FROM way AS w ORDER BY w.depth DESC LIMIT 1),
folder AS (
    SELECT r.target_id AS folder_id FROM reached AS r
    WHERE r.depth = cardinality($2::text[]) AND r.target_kind = 'folder'
),
-- Current names and past ones, each from its index. How many are looked at is bounded, not how many fit: at a sequence
-- long ago, nothing of what is there now may. A current name sorts as if it ended last.
present AS MATERIALIZED (
    SELECT n.sort_name, 9223372036854775807::bigint AS until, n.name, n.from_seq, n.target_kind, n.target_id
    FROM folder AS f
    CROSS JOIN LATERAL (
        SELECT (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END) AS sort_name,
            name, from_seq, target_kind, target_id
        FROM names
        WHERE parent_id = f.folder_id AND to_seq IS NULL
            AND (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END) >= $4::text COLLATE "C"
            AND ((name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END) > $4::text COLLATE "C"
                OR $5 < 9223372036854775807::bigint)
        ORDER BY (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END)
        LIMIT $7
    ) AS n
),
past AS MATERIALIZED (
    SELECT n.sort_name, n.until, n.name, n.from_seq, n.target_kind, n.target_id
    FROM folder AS f
    CROSS JOIN LATERAL (
        SELECT (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END) AS sort_name, to_seq AS until,
            name, from_seq, target_kind, target_id
        FROM names
        WHERE parent_id = f.folder_id AND to_seq IS NOT NULL
            AND ((name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END), to_seq) > ($4::text COLLATE "C", $5)
        ORDER BY (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END), to_seq
        LIMIT $8
    ) AS n
),
-- Up to where all was looked at: the lesser of the two ends, or none when nothing is left behind them.
horizon AS (
    SELECT h.sort_name, h.until
    FROM (
        (SELECT p.sort_name, p.until FROM present AS p
         WHERE (SELECT count(*) FROM present) = $7 ORDER BY p.sort_name DESC LIMIT 1)
      UNION ALL
        (SELECT p.sort_name, p.until FROM past AS p
         WHERE (SELECT count(*) FROM past) = $8 ORDER BY p.sort_name DESC, p.until DESC LIMIT 1)
    ) AS h
    ORDER BY h.sort_name, h.until LIMIT 1
),
page AS MATERIALIZED (
    SELECT p.sort_name, p.until, p.name, p.from_seq, p.target_kind, p.target_id
    FROM (
        SELECT sort_name, until, name, from_seq, target_kind, target_id FROM present
      UNION ALL
        SELECT sort_name, until, name, from_seq, target_kind, target_id FROM past
    ) AS p
    LEFT JOIN horizon AS h ON true
    WHERE p.from_seq <= $3 AND (p.until > $3 OR p.until = 9223372036854775807::bigint)
        AND (h.sort_name IS NULL OR (p.sort_name, p.until) <= (h.sort_name, h.until))
    ORDER BY p.sort_name, p.until LIMIT $6
)
SELECT a.catalog_id, a.generation,
    t.depth AS "depth?", t.target_kind AS "reached_kind?",
    h.sort_name AS "horizon?", h.until AS "horizon_until?",
    p.sort_name AS "sort_name?", p.until AS "until?", p.name AS "name?", p.from_seq AS "from_seq?",
    d.folder_id AS "folder_id?", d.space_id AS "folder_space_id?", d.created_seq AS "folder_created_seq?",
    d.deleted_seq AS "folder_deleted_seq?", d.entries AS "entries?",
    v.version_id AS "version_id?", v.file_id AS "file_id?", v.kind AS "kind?", v.blob_id AS "blob_id?",
    v.source_version AS "source_version?", v.seq AS "seq?", v.event_id AS "event_id?",
    v.content_type AS "content_type?", v.modified_at AS "modified_at?", v.created_at AS "created_at?",
    v.actor AS "actor?", v.pruned_seq AS "pruned_seq?",
    b.space_id AS "blob_space_id?", b.size_bytes AS "size_bytes?", b.sha256 AS "sha256?",
    b.slices_sha256 AS "slices_sha256?", b.slice_bytes AS "slice_bytes?", b.origin_node AS "origin_node?",
    b.first_seq AS "first_seq?", b.created_at AS "blob_created_at?", b.refs AS "refs?", b.state AS "blob_state?",
    b.state_seq AS "state_seq?", b.unreferenced_at AS "unreferenced_at?",
    r.stored AS "stored!", r.wanted AS "wanted!"
FROM highwater.active AS a
LEFT JOIN reached AS t ON true
LEFT JOIN horizon AS h ON true
LEFT JOIN page AS p ON true
-- One by one, whatever Postgres knows of how many there are: a plan outlives the time when they were few.
LEFT JOIN LATERAL (
    SELECT folder_id, space_id, created_seq, deleted_seq, entries
    FROM folders WHERE p.target_kind = 'folder' AND folder_id = p.target_id LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, modified_at, created_at,
        actor, pruned_seq
    FROM versions WHERE p.target_kind = 'file' AND file_id = p.target_id AND seq <= $3
    ORDER BY seq DESC LIMIT 1
) AS v ON true
LEFT JOIN LATERAL (
    SELECT blob_id, space_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, created_at, refs,
        state, state_seq, unreferenced_at
    FROM blobs WHERE blob_id = v.blob_id LIMIT 1
) AS b ON true
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'stored') AS stored,
        count(*) FILTER (WHERE state NOT IN ('erasing', 'erased')) AS wanted
    FROM replicas WHERE blob_id = b.blob_id
) AS r
WHERE a.singleton
ORDER BY p.sort_name, p.until
