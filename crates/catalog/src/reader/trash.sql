-- What was deleted in a space, newest deletion first: a page of it, or one item.
--   $1 the space   $2, $3 the deletion (its sequence and its item) before which the page begins   $4 items wanted
--   $5 or just this file   $6 or just this folder
WITH RECURSIVE
found AS MATERIALIZED (
    SELECT t.deleted_seq, t.kind, t.id
    FROM (
        (SELECT deleted_seq, 'file'::text COLLATE "C" AS kind, file_id AS id FROM files
         WHERE space_id = $1 AND deleted_seq IS NOT NULL AND (deleted_seq, file_id) < ($2, $3)
         ORDER BY deleted_seq DESC, file_id DESC LIMIT $4)
      UNION ALL
        (SELECT deleted_seq, 'folder'::text COLLATE "C" AS kind, folder_id AS id FROM folders
         WHERE space_id = $1 AND deleted_seq IS NOT NULL AND (deleted_seq, folder_id) < ($2, $3)
         ORDER BY deleted_seq DESC, folder_id DESC LIMIT $4)
      UNION ALL
        (SELECT deleted_seq, 'file'::text COLLATE "C" AS kind, file_id AS id FROM files
         WHERE file_id = $5 AND space_id = $1 AND deleted_seq IS NOT NULL)
      UNION ALL
        (SELECT deleted_seq, 'folder'::text COLLATE "C" AS kind, folder_id AS id FROM folders
         WHERE folder_id = $6 AND space_id = $1 AND deleted_seq IS NOT NULL)
    ) AS t
    ORDER BY t.deleted_seq DESC, t.id DESC
    LIMIT greatest($4, 1)
),
-- From each item upwards, as the names were just before it was deleted.
up AS (
    SELECT d.id, d.deleted_seq, n.parent_id, n.name AS path
    FROM found AS d
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = d.id AND from_seq < d.deleted_seq
        ORDER BY from_seq DESC LIMIT 1
    ) AS n
  UNION ALL
    SELECT u.id, u.deleted_seq, n.parent_id, (n.name || '/' || u.path) COLLATE "C"
    FROM up AS u
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = u.parent_id AND from_seq < u.deleted_seq
        ORDER BY from_seq DESC LIMIT 1
    ) AS n
)
SELECT a.catalog_id, a.generation,
    d.deleted_seq AS "deleted_seq!", d.kind AS "item_kind!", d.id AS "item_id!", w.path AS "path!", e.raw,
    v.version_id AS "version_id?", v.file_id AS "file_id?", v.kind AS "kind?", v.blob_id AS "blob_id?",
    v.source_version AS "source_version?", v.seq AS "seq?", v.event_id AS "event_id?",
    v.content_type AS "content_type?", v.modified_at AS "modified_at?", v.created_at AS "created_at?",
    v.actor AS "actor?", v.pruned_seq AS "pruned_seq?",
    b.space_id AS "blob_space_id?", b.size_bytes AS "size_bytes?", b.sha256 AS "sha256?",
    b.slices_sha256 AS "slices_sha256?", b.slice_bytes AS "slice_bytes?", b.origin_node AS "origin_node?",
    b.first_seq AS "first_seq?", b.created_at AS "blob_created_at?", b.refs AS "refs?", b.state AS "blob_state?",
    b.state_seq AS "state_seq?", b.unreferenced_at AS "unreferenced_at?"
FROM found AS d
JOIN highwater.active AS a ON a.singleton
-- The root has no name, so the way ends in it.
JOIN up AS w ON w.id = d.id AND w.parent_id = $1
CROSS JOIN LATERAL (SELECT raw FROM events WHERE seq = d.deleted_seq LIMIT 1) AS e
LEFT JOIN LATERAL (
    SELECT version_id, file_id, kind, blob_id, source_version, seq, event_id, content_type, modified_at, created_at,
        actor, pruned_seq
    FROM versions
    WHERE d.kind = 'file' AND file_id = d.id AND blob_id IS NOT NULL AND pruned_seq IS NULL
    ORDER BY seq DESC LIMIT 1
) AS v ON true
LEFT JOIN LATERAL (
    SELECT blob_id, space_id, size_bytes, sha256, slices_sha256, slice_bytes, origin_node, first_seq, created_at, refs,
        state, state_seq, unreferenced_at
    FROM blobs WHERE blob_id = v.blob_id LIMIT 1
) AS b ON true
ORDER BY d.deleted_seq DESC, d.id DESC
