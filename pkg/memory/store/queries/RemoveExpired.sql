DELETE FROM memories WHERE (scope_id, id) IN (
    SELECT scope_id, id FROM memories WHERE status = 'expired' AND ttl < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
)
