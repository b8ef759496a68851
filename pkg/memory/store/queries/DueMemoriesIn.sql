SELECT id, context_id FROM memories WHERE scope_id = $1 AND status = 'live' AND ttl <= $2 ORDER BY ttl, id LIMIT $3
