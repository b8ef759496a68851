DELETE FROM memories WHERE scope_id = $1 AND id = $2 AND ($3 = 0 OR version = $3)
RETURNING context_id, ordinal
