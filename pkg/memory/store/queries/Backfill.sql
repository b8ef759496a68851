INSERT INTO outbox (model_id, scope_id, memory_id, memory_version)
SELECT $1, m.scope_id, m.id, 1
FROM memories m
WHERE m.status = 'live'
  AND NOT EXISTS (SELECT FROM embedding_0 e WHERE e.scope_id = m.scope_id AND e.memory_id = m.id)
  AND NOT EXISTS (SELECT FROM outbox o WHERE o.model_id = $1 AND o.scope_id = m.scope_id AND o.memory_id = m.id)
ORDER BY m.scope_id, m.id
LIMIT $2
ON CONFLICT DO NOTHING
