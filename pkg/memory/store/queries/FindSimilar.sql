-- For each pair of a memory $2 and a band $3 of its minhash: the five others of a memory that share most bands with
-- it, among the newest twenty of each band. However many have the same words, no more are looked at.
WITH shared AS MATERIALIZED (
    SELECT w.memory_id, b.memory_id AS other, count(*) AS bands
    FROM unnest($2::uuid[], $3::int[]) AS w(memory_id, band) CROSS JOIN LATERAL (
        SELECT b.memory_id FROM memory_bands b
        WHERE b.scope_id = $1 AND b.band = w.band AND b.memory_id <> w.memory_id
        ORDER BY b.memory_id DESC LIMIT 20
    ) b
    GROUP BY 1, 2
), best AS MATERIALIZED (
    SELECT memory_id, other, row_number() OVER (PARTITION BY memory_id ORDER BY bands DESC, other) AS place FROM shared
)
-- One after the other by its key: a join may be planned to read the whole scope for each.
SELECT b.memory_id, m.id, m.summary, m.speaker
FROM best b CROSS JOIN LATERAL (SELECT * FROM memories WHERE scope_id = $1 AND id = b.other OFFSET 0) m
WHERE b.place <= 5 AND m.status = 'live' AND m.validation_status <> 'rejected' AND (m.ttl IS NULL OR m.ttl > now())
