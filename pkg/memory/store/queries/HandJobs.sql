UPDATE outbox o SET handed_at = now()
FROM (
    SELECT id FROM outbox
    WHERE model_id = $1 AND NOT dead AND due_at <= now()
      AND (claimed_until IS NULL OR claimed_until <= now())
      AND (handed_at IS NULL OR handed_at <= now() - $3::interval)
    ORDER BY id LIMIT $2
    FOR UPDATE SKIP LOCKED
) w
WHERE o.id = w.id
RETURNING o.id, o.model_id
