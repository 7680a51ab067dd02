-- Which versions of some files need not be kept.
--   $1 the space            $2 the files, in the order wanted
--   $3, $4 of this file, only versions after this sequence
--   $5 versions kept        $6 the time since which versions and trash are kept; either may be null
--   $7 look for trash: else for versions that are not current, of files that are no old trash
--   $8 versions wanted
WITH RECURSIVE
asked AS (SELECT q.file_id, q.place FROM unnest($2::uuid[]) WITH ORDINALITY AS q (file_id, place)),
-- From each file upwards by the last names there were. The first that was deleted on the way makes it trash.
up AS (
    SELECT q.place, f.file_id, f.file_id AS id, NULL::uuid AS parent_id, NULL::text COLLATE "C" AS path,
        f.deleted_seq, CASE WHEN f.deleted_seq IS NOT NULL THEN 'file'::text END COLLATE "C" AS trash_kind,
        f.file_id AS trash_id
    FROM asked AS q
    CROSS JOIN LATERAL (
        SELECT file_id, deleted_seq FROM files WHERE file_id = q.file_id AND space_id = $1 LIMIT 1
    ) AS f
  UNION ALL
    SELECT u.place, u.file_id, n.parent_id, n.parent_id,
        (CASE WHEN u.path IS NULL THEN n.name ELSE n.name || '/' || u.path END) COLLATE "C",
        coalesce(u.deleted_seq, d.deleted_seq),
        coalesce(u.trash_kind, CASE WHEN d.deleted_seq IS NOT NULL THEN 'folder' END) COLLATE "C",
        CASE WHEN u.trash_kind IS NULL THEN d.folder_id ELSE u.trash_id END
    FROM up AS u
    CROSS JOIN LATERAL (
        SELECT parent_id, name FROM names WHERE target_id = u.id ORDER BY from_seq DESC LIMIT 1
    ) AS n
    CROSS JOIN LATERAL (
        SELECT folder_id, deleted_seq FROM folders WHERE folder_id = n.parent_id LIMIT 1
    ) AS d
),
-- The root has no name, so the way ends in it.
placed AS (
    SELECT u.place, u.file_id, u.path, coalesce(u.deleted_seq, s.deleted_seq) AS deleted_seq,
        coalesce(u.trash_kind, CASE WHEN s.deleted_seq IS NOT NULL THEN 'space' END) AS trash_kind,
        CASE WHEN u.trash_kind IS NULL THEN s.space_id ELSE u.trash_id END AS trash_id
    FROM up AS u JOIN spaces AS s ON s.space_id = u.parent_id
    WHERE u.parent_id = $1
),
judged AS (
    SELECT p.place, p.file_id, p.path, p.trash_kind, p.trash_id,
        coalesce((convert_from(e.raw, 'UTF8')::json ->> 'time')::timestamptz < $6, false) AS old_trash
    FROM placed AS p LEFT JOIN LATERAL (SELECT raw FROM events WHERE seq = p.deleted_seq LIMIT 1) AS e ON true
)
SELECT a.catalog_id, a.generation, v.version_id AS "version_id!", j.file_id AS "file_id!", j.path AS "path?",
    b.size_bytes, v.created_at AS "created_at!", j.trash_kind AS "trash_kind?", j.trash_id AS "trash_id?"
FROM judged AS j
JOIN highwater.active AS a ON a.singleton
CROSS JOIN LATERAL (
    SELECT h.version_id, h.blob_id, h.seq, h.created_at,
        h.blob_id IS NOT NULL AND h.pruned_seq IS NULL AS held,
        -- 1 is the newest that is held: what the file has now, or what undeleting it brings back.
        count(*) FILTER (WHERE h.blob_id IS NOT NULL AND h.pruned_seq IS NULL) OVER newer AS rank,
        lag(h.created_at) OVER newer AS replaced_at
    FROM versions AS h WHERE h.file_id = j.file_id
    WINDOW newer AS (ORDER BY h.seq DESC ROWS UNBOUNDED PRECEDING)
) AS v
CROSS JOIN LATERAL (SELECT size_bytes FROM blobs WHERE blob_id = v.blob_id LIMIT 1) AS b
WHERE v.held
    AND (j.file_id IS DISTINCT FROM $3::uuid OR v.seq > $4)
    AND CASE
            WHEN $7 THEN j.old_trash
            ELSE NOT j.old_trash AND v.rank > 1
                AND ($5::bigint IS NULL OR v.rank > $5)
                AND ($6::timestamptz IS NULL OR v.replaced_at < $6)
        END
ORDER BY j.place, v.seq LIMIT $8
