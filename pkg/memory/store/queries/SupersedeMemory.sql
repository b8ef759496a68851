UPDATE memories SET status = 'superseded', status_reason = 'superseded', superseded_by = $4, version = version + 1, updated_at = now()
WHERE scope_id = $1 AND id = $2 AND ($3 = 0 OR version = $3) AND status = 'live' AND id <> $4
RETURNING context_id, ordinal
