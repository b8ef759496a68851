WITH named AS MATERIALIZED (
    SELECT id FROM outbox
    WHERE id = ANY ($1::bigint[]) AND NOT dead AND due_at <= now() AND (claimed_until IS NULL OR claimed_until <= now())
    ORDER BY id
    FOR UPDATE
), claimed AS (
    UPDATE outbox o SET claimed_by = $2, claimed_until = now() + $3::interval
    FROM named n WHERE o.id = n.id
    RETURNING o.*
)
SELECT c.id, c.model_id, c.memory_id, c.memory_version, m.summary, c.attempts, c.created_at
FROM claimed c JOIN memories m ON m.scope_id = c.scope_id AND m.id = c.memory_id
ORDER BY c.id
