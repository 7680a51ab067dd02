-- A page of the pairs that nobody works on any more, each with the place of a current file that has the blob.
--   $1 only of this node, or null   $2, $3 after this node and blob   $4 pairs wanted
WITH RECURSIVE
page AS MATERIALIZED (
    SELECT node, blob_id, state, seq, attempts, reason FROM replicas
    WHERE (state IN ('parked', 'lost') OR (state = 'erasing' AND reason IS NOT NULL))
        AND ($1::text IS NULL OR node = $1) AND (node, blob_id) > ($2, $3)
    ORDER BY node, blob_id LIMIT $4
),
-- Files whose current version has the blob; every event that gave it to a file names it. The first ones will do.
holders AS (
    SELECT p.blob_id, h.file_id
    FROM (SELECT DISTINCT blob_id FROM page) AS p
    CROSS JOIN LATERAL (
        SELECT DISTINCT f.file_id
        FROM event_blobs AS l
        JOIN events AS e ON e.seq = l.seq
        JOIN files AS f ON f.file_id = e.file_id
        JOIN versions AS v ON v.version_id = f.version_id
        WHERE l.blob_id = p.blob_id AND v.blob_id = p.blob_id AND f.deleted_seq IS NULL
        ORDER BY f.file_id LIMIT 8
    ) AS h
),
-- From each file upwards by current names; what is in a deleted folder does not come to a root.
up AS (
    SELECT h.blob_id, h.file_id, h.file_id AS id, NULL::text COLLATE "C" AS path
    FROM holders AS h
  UNION ALL
    SELECT u.blob_id, u.file_id, n.parent_id,
        (CASE WHEN u.path IS NULL THEN n.name ELSE n.name || '/' || u.path END) COLLATE "C"
    FROM up AS u
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = u.id AND to_seq IS NULL LIMIT 1
    ) AS n
),
placed AS (
    SELECT u.blob_id, min(s.name || '/' || u.path) AS path
    FROM up AS u JOIN spaces AS s ON s.space_id = u.id
    WHERE s.deleted_seq IS NULL AND u.path IS NOT NULL
    GROUP BY u.blob_id
)
SELECT a.catalog_id, a.generation, p.node AS "node!", p.blob_id AS "blob_id!", p.state AS "state!", p.seq AS "seq!",
    p.attempts AS "attempts!", p.reason, b.size_bytes, l.path AS "path?"
FROM page AS p
JOIN highwater.active AS a ON a.singleton
JOIN blobs AS b ON b.blob_id = p.blob_id
LEFT JOIN placed AS l ON l.blob_id = p.blob_id
ORDER BY p.node, p.blob_id
