-- Versions by their ids, with the paths that their files had.
--   $1 the space   $2 the versions, in the order wanted   $3 the sequence
WITH RECURSIVE
asked AS (
    SELECT q.place, v.version_id, v.file_id, v.blob_id, v.created_at
    FROM unnest($2::uuid[]) WITH ORDINALITY AS q (version_id, place)
    JOIN versions AS v ON v.version_id = q.version_id
),
-- From each file upwards, by the last names there were then.
up AS (
    SELECT DISTINCT q.file_id, q.file_id AS id, NULL::text COLLATE "C" AS path FROM asked AS q
  UNION ALL
    SELECT u.file_id, n.parent_id, (CASE WHEN u.path IS NULL THEN n.name ELSE n.name || '/' || u.path END) COLLATE "C"
    FROM up AS u
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = u.id AND from_seq <= $3
        ORDER BY from_seq DESC LIMIT 1
    ) AS n
)
SELECT a.catalog_id, a.generation, q.version_id AS "version_id!", w.path AS "path?", b.size_bytes,
    q.created_at AS "created_at!"
FROM asked AS q
JOIN highwater.active AS a ON a.singleton
JOIN blobs AS b ON b.blob_id = q.blob_id
-- The root has no name, so the way ends in it.
LEFT JOIN up AS w ON w.file_id = q.file_id AND w.id = $1
ORDER BY q.place
