SELECT version, context_id FROM memories WHERE scope_id = $1 AND id = $2
