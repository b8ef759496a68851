WITH due AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE model_id = $1 AND NOT dead AND due_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY id LIMIT $2
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE outbox o SET claimed_by = $3, claimed_until = now() + $4::interval
    FROM due d WHERE o.id = d.id
    RETURNING o.*
)
SELECT c.id, c.model_id, c.memory_id, c.memory_version, m.summary, c.attempts, c.created_at
FROM claimed c JOIN memories m ON m.scope_id = c.scope_id AND m.id = c.memory_id
ORDER BY c.id
