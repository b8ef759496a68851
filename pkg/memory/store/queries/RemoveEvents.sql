DELETE FROM retrieval_events WHERE (scope_id, id) IN (
    SELECT scope_id, id FROM retrieval_events WHERE created_at < $1 ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
)
