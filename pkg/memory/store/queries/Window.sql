-- The last $3 of a session's memories that may be seen, the oldest first.
SELECT * FROM memory_rows w
WHERE w.scope_id = $1 AND w.id IN (
    SELECT m.id FROM memories m
    WHERE m.scope_id = $1 AND m.context_id = $2 AND m.session_id = $2
      AND m.status = 'live' AND m.validation_status <> 'rejected'
      AND (m.ttl IS NULL OR m.ttl > $4) AND m.sensitivity = ANY ($5::text[])
    ORDER BY m.ordinal DESC LIMIT $3
)
ORDER BY w.ordinal
