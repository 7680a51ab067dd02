-- Where a search begins: the checkpoint and the space's end, and where the version stands after which to go on.
--   $1 the space   $2 the version; null to begin at the beginning
WITH RECURSIVE up AS (
    SELECT 0 AS depth, f.file_id AS id, f.file_id AS item_id, NULL::text COLLATE "C" AS below,
        'file'::text COLLATE "C" AS kind, f.deleted_seq
    FROM versions AS v JOIN files AS f ON f.file_id = v.file_id
    WHERE v.version_id = $2 AND f.space_id = $1
  UNION ALL
    -- Up to the nearest item that was deleted; what is below it has current names.
    SELECT u.depth + 1, d.folder_id, u.item_id,
        (CASE WHEN u.below IS NULL THEN n.name ELSE n.name || '/' || u.below END) COLLATE "C",
        'folder'::text COLLATE "C", d.deleted_seq
    FROM up AS u
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = u.id AND to_seq IS NULL
        ORDER BY from_seq DESC LIMIT 1
    ) AS n
    CROSS JOIN LATERAL (
        SELECT folder_id, deleted_seq FROM folders WHERE folder_id = n.parent_id LIMIT 1
    ) AS d
    WHERE u.deleted_seq IS NULL
)
SELECT a.catalog_id, a.generation, c.n, s.deleted_seq AS "space_deleted_seq?",
    v.seq AS "seq?", t.item_id AS "file_id?", t.kind AS "kind?", t.id AS "id?", t.below AS "below?",
    t.deleted_seq AS "deleted_seq?"
FROM highwater.active AS a
CROSS JOIN checkpoint AS c
LEFT JOIN spaces AS s ON s.space_id = $1
LEFT JOIN versions AS v ON v.version_id = $2
LEFT JOIN (
    SELECT u.item_id, u.kind, u.id, u.below, u.deleted_seq FROM up AS u ORDER BY u.depth DESC LIMIT 1
) AS t ON true
WHERE a.singleton AND c.singleton
