-- Those of $2 in the scope that have outlived their TTL at $3, or now.
UPDATE memories SET status = 'expired', status_reason = 'ttl', version = version + 1, updated_at = now()
WHERE scope_id = $1 AND id = ANY ($2::uuid[]) AND status = 'live' AND ttl <= coalesce($3::timestamptz, now())
RETURNING context_id, ordinal
