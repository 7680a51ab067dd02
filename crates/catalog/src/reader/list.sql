-- A page of the files below a folder, in the byte order of their paths.
--   $1 name of the space   $2 names of the folder   $3 names of the path after which the page begins   $4 files wanted
WITH RECURSIVE
-- The folder to list.
way AS (
    SELECT 0 AS depth, s.space_id AS folder_id FROM spaces AS s
    WHERE s.name = $1 AND s.deleted_seq IS NULL
  UNION ALL
    SELECT w.depth + 1, n.target_id
    FROM way AS w
    CROSS JOIN LATERAL (
        SELECT target_id FROM names
        WHERE parent_id = w.folder_id AND name = ($2::text[])[w.depth + 1] AND to_seq IS NULL
            AND target_kind = 'folder'
        LIMIT 1
    ) AS n
    WHERE w.depth < cardinality($2::text[])
),
-- From there, along the path after which the page begins, as far as its folders still exist. `after`
-- is, for each folder on the stack, the name behind which to go on.
resumed AS (
    SELECT 0 AS depth, ARRAY[w.folder_id] AS stack, ARRAY[]::text[] COLLATE "C" AS after
    FROM way AS w WHERE w.depth = cardinality($2::text[])
  UNION ALL
    SELECT r.depth + 1, r.stack || n.target_id, r.after || (($3::text[])[r.depth + 1] || '/')
    FROM resumed AS r
    CROSS JOIN LATERAL (
        SELECT target_id FROM names
        WHERE parent_id = r.stack[r.depth + 1] AND name = ($3::text[])[r.depth + 1]
            AND to_seq IS NULL AND target_kind = 'folder'
        LIMIT 1
    ) AS n
    WHERE r.depth < cardinality($3::text[]) - 1
),
start AS (
    SELECT r.stack, r.after || CASE
            WHEN cardinality($3::text[]) = 0 THEN ''
            WHEN r.depth = cardinality($3::text[]) - 1 THEN ($3::text[])[r.depth + 1]
            ELSE ($3::text[])[r.depth + 1] || '/'
        END AS after
    FROM resumed AS r ORDER BY r.depth DESC LIMIT 1
),
walk AS (
    SELECT 0::bigint AS step, s.stack, s.after, NULL::uuid AS file_id, NULL::text COLLATE "C" AS below
    FROM start AS s
  UNION ALL
    SELECT w.step + 1,
        CASE n.target_kind
            WHEN 'folder' THEN w.stack || n.target_id
            WHEN 'file' THEN w.stack
            ELSE w.stack[1:cardinality(w.stack) - 1]
        END,
        CASE n.target_kind
            WHEN 'folder' THEN w.after[1:cardinality(w.after) - 1] || ARRAY[n.sort_name, '']
            WHEN 'file' THEN w.after[1:cardinality(w.after) - 1] || n.sort_name
            ELSE w.after[1:cardinality(w.after) - 1]
        END,
        CASE n.target_kind WHEN 'file' THEN n.target_id END,
        CASE n.target_kind
            WHEN 'file' THEN array_to_string(w.after[1:cardinality(w.after) - 1], '') || n.sort_name
        END
    FROM walk AS w
    LEFT JOIN LATERAL (
        SELECT target_kind, target_id,
            (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END) AS sort_name
        FROM names
        WHERE parent_id = w.stack[cardinality(w.stack)] AND to_seq IS NULL
            AND (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END)
                > w.after[cardinality(w.after)] COLLATE "C"
        ORDER BY (name || CASE target_kind WHEN 'folder' THEN '/' ELSE '' END)
        LIMIT 1
    ) AS n ON true
    WHERE cardinality(w.stack) > 0
),
page AS MATERIALIZED (
    SELECT w.step, w.file_id, w.below FROM walk AS w WHERE w.file_id IS NOT NULL LIMIT $4
)
SELECT a.catalog_id, a.generation, p.below AS "below!",
    v.version_id, v.file_id, v.kind, v.source_version, v.seq, v.event_id, v.content_type,
    v.modified_at, v.created_at, v.actor, v.pruned_seq,
    b.blob_id, b.space_id AS blob_space_id, b.size_bytes, b.sha256, b.slices_sha256, b.slice_bytes,
    b.origin_node, b.first_seq, b.created_at AS blob_created_at, b.refs, b.state AS blob_state,
    b.state_seq, b.unreferenced_at,
    r.stored AS "stored!", r.wanted AS "wanted!"
FROM page AS p
JOIN highwater.active AS a ON a.singleton
JOIN files AS f ON f.file_id = p.file_id
JOIN versions AS v ON v.version_id = f.version_id
JOIN blobs AS b ON b.blob_id = v.blob_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'stored') AS stored, count(*) AS wanted
    FROM replicas WHERE blob_id = v.blob_id
) AS r
ORDER BY p.step
