SELECT o.id, e.name, o.memory_id, o.memory_version, o.attempts, o.last_error, o.created_at
FROM outbox o JOIN embedding_models e ON e.id = o.model_id
WHERE o.dead AND o.id > $1 ORDER BY o.id LIMIT $2
