-- Which of these contents are there; those that have outlived their TTL are in the way. One after the other by its
-- key: a join may be planned to read the whole scope for each.
SELECT w.n, m.id, m.version, coalesce(m.ttl <= now(), false)
FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS w(memory_type, content_sha256, n) CROSS JOIN LATERAL (
    SELECT id, version, ttl FROM memories
    WHERE scope_id = $1 AND memory_type = w.memory_type AND content_sha256 = w.content_sha256
      AND status = 'live' AND validation_status <> 'rejected'
    OFFSET 0
) m
