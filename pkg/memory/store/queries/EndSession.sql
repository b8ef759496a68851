UPDATE sessions SET ended_at = coalesce(ended_at, now()) WHERE scope_id = $1 AND id = $2
