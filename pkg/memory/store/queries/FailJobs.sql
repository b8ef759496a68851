UPDATE outbox o
SET attempts = o.attempts + 1, last_error = f.reason, due_at = now() + f.rest, dead = f.dead,
    claimed_by = NULL, claimed_until = NULL, handed_at = NULL
FROM unnest($2::bigint[], $3::text[], $4::interval[], $5::boolean[]) AS f(id, reason, rest, dead)
WHERE o.id = f.id AND o.claimed_by = $1
