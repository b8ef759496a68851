-- Which of these contents are there; those that have outlived their TTL are in the way.
SELECT w.n, m.id, m.version, coalesce(m.ttl <= now(), false)
FROM unnest($2::text[], $3::bytea[]) WITH ORDINALITY AS w(memory_type, content_sha256, n)
JOIN memories m ON m.scope_id = $1 AND m.memory_type = w.memory_type AND m.content_sha256 = w.content_sha256
    AND m.status = 'live' AND m.validation_status <> 'rejected'
