-- Those of $1, or all, when it is null.
UPDATE outbox SET dead = false, attempts = 0, due_at = now(), handed_at = NULL, claimed_by = NULL, claimed_until = NULL
WHERE dead AND ($1::bigint[] IS NULL OR id = ANY ($1))
