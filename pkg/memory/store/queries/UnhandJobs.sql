UPDATE outbox SET handed_at = NULL WHERE id = ANY ($1::bigint[])
