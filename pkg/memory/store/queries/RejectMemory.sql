UPDATE memories SET validation_status = 'rejected', status_reason = $4, version = version + 1, updated_at = now()
WHERE scope_id = $1 AND id = $2 AND ($3 = 0 OR version = $3)
RETURNING context_id, ordinal
