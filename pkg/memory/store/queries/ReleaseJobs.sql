UPDATE outbox SET claimed_by = NULL, claimed_until = NULL, handed_at = NULL
WHERE id = ANY ($2::bigint[]) AND claimed_by = $1
