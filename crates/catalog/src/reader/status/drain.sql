-- How each node's backlog changed since a time, in bytes; or since a later one, when more is reported since than shall be read.
--   $1 the time
--   $2 how many bytes of reports are read at most
-- Reads only what happened since: the rows of recent events, of the copies that they report, and of what they asked for and
-- is still to be done.
WITH RECURSIVE
-- The last event at or before the time, by halves: events hold their times, but are found by sequence. Clocks differ, so it
-- is one of those around the time; two who look into the same rows find the same. Undecodable events have no time, and go
-- with the one before them.
halved AS (
    SELECT 0::bigint AS low, n + 1 AS high FROM checkpoint
  UNION ALL
    SELECT CASE WHEN e.at > $1 THEN h.low ELSE h.middle END, CASE WHEN e.at > $1 THEN e.seq ELSE h.high END
    FROM (SELECT low, high, (low + high) / 2 AS middle FROM halved WHERE high - low > 1) AS h
    LEFT JOIN LATERAL (
        SELECT seq, (convert_from(raw, 'UTF8')::json ->> 'time')::timestamptz AS at FROM events
        WHERE seq > h.low AND seq <= h.middle AND event_id IS NOT NULL ORDER BY seq DESC LIMIT 1
    ) AS e ON true
),
begun AS MATERIALIZED (SELECT low AS seq FROM halved WHERE high - low <= 1 LIMIT 1),
-- The newest report for which there is no room, if any.
cut AS MATERIALIZED (
    SELECT max(seq) AS seq
    FROM (
        SELECT seq, sum(octet_length(raw)) OVER (ORDER BY seq DESC) AS bytes FROM events
        WHERE seq > (SELECT seq FROM begun) AND kind LIKE 'highwater.replica.stored.%' AND event_id IS NOT NULL
    ) AS r
    WHERE bytes > $2
),
since AS MATERIALIZED (
    SELECT coalesce(c.seq, b.seq) AS seq,
        (SELECT (convert_from(raw, 'UTF8')::json ->> 'time')::timestamptz FROM events WHERE seq = c.seq) AS at
    FROM begun AS b CROSS JOIN cut AS c
),
-- Materialized, so that each report is parsed once, not once for each copy in it.
reported AS MATERIALIZED (
    SELECT e.seq, r.fact ->> 'node' AS node, r.fact -> 'replicas' AS replicas
    FROM events AS e
    CROSS JOIN LATERAL (SELECT convert_from(e.raw, 'UTF8')::json -> 'data' AS fact OFFSET 0) AS r
    WHERE e.seq > (SELECT seq FROM since) AND e.kind LIKE 'highwater.replica.stored.%' AND e.event_id IS NOT NULL
),
-- Copies that were behind then, and are there now. Only the report that the pair's row names made it so. Each row is looked
-- up by itself: to join them, the planner would read all pairs.
stored AS (
    SELECT d.node, sum(b.size_bytes) AS bytes
    FROM (
        SELECT DISTINCT r.seq, r.node, (c.copy ->> 'blob_id')::uuid AS blob_id
        FROM reported AS r CROSS JOIN LATERAL json_array_elements(r.replicas) AS c (copy)
        WHERE (c.copy ->> 'cause')::bigint <= (SELECT seq FROM since)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT seq, state FROM replicas WHERE blob_id = d.blob_id AND node = d.node LIMIT 1
    ) AS p
    CROSS JOIN LATERAL (SELECT size_bytes FROM blobs WHERE blob_id = d.blob_id LIMIT 1) AS b
    WHERE p.seq = d.seq AND p.state = 'stored'
    GROUP BY d.node
)
SELECT n.node, least(coalesce(s.bytes, 0), 9223372036854775807)::bigint AS "stored!",
    least(coalesce(a.bytes, 0), 9223372036854775807)::bigint AS "asked!", (SELECT at FROM since) AS "since?"
FROM nodes AS n
LEFT JOIN stored AS s ON s.node = n.node
-- What was asked for since, or reported lost, and is not there. Two ranges, since each has its index.
CROSS JOIN LATERAL (
    SELECT sum(b.size_bytes) AS bytes
    FROM (
        SELECT blob_id FROM replicas
        WHERE node = n.node AND state = 'pending' AND seq > (SELECT seq FROM since)
      UNION ALL
        SELECT blob_id FROM replicas
        WHERE node = n.node AND state = 'lost' AND seq > (SELECT seq FROM since)
    ) AS p
    CROSS JOIN LATERAL (SELECT size_bytes, state FROM blobs WHERE blob_id = p.blob_id LIMIT 1) AS b
    WHERE b.state IN ('live', 'condemned')
) AS a
