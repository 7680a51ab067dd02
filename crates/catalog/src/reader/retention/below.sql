-- Files below a folder, in the byte order of their paths: the walk of list.sql, from a folder that may be deleted.
--   $1 the folder   $2 names of the path after which to go on; empty for the first file   $3 files wanted
WITH RECURSIVE
resumed AS (
    SELECT 0 AS depth, ARRAY[$1::uuid] AS stack, ARRAY[]::text[] COLLATE "C" AS after
  UNION ALL
    SELECT r.depth + 1, r.stack || n.target_id, r.after || (($2::text[])[r.depth + 1] || '/')
    FROM resumed AS r
    CROSS JOIN LATERAL (
        SELECT target_id FROM names
        WHERE parent_id = r.stack[r.depth + 1] AND name = ($2::text[])[r.depth + 1]
            AND to_seq IS NULL AND target_kind = 'folder'
        LIMIT 1
    ) AS n
    WHERE r.depth < cardinality($2::text[]) - 1
),
start AS (
    SELECT r.stack, r.after || CASE
            WHEN cardinality($2::text[]) = 0 THEN ''
            WHEN r.depth = cardinality($2::text[]) - 1 THEN ($2::text[])[r.depth + 1]
            ELSE ($2::text[])[r.depth + 1] || '/'
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
    SELECT w.step, w.file_id, w.below FROM walk AS w WHERE w.file_id IS NOT NULL LIMIT $3
)
SELECT a.catalog_id, a.generation, p.file_id AS "file_id!", p.below AS "below!",
    EXISTS (
        SELECT FROM versions AS v WHERE v.file_id = p.file_id AND v.blob_id IS NOT NULL AND v.pruned_seq IS NULL
    ) AS "holds!"
FROM page AS p
JOIN highwater.active AS a ON a.singleton
ORDER BY p.step
