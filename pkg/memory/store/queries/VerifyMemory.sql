UPDATE memories SET validation_status = 'verified', status_reason = '', version = version + 1, updated_at = now()
WHERE scope_id = $1 AND id = $2 AND ($3 = 0 OR version = $3) AND status = 'live'
RETURNING context_id, ordinal
