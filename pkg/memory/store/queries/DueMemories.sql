SELECT scope_id, id, context_id FROM memories WHERE status = 'live' AND ttl <= $1 ORDER BY ttl, scope_id, id LIMIT $2
