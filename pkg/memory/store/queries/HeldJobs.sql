SELECT id FROM outbox WHERE id = ANY ($1::bigint[]) AND NOT dead AND NOT (id = ANY ($2::bigint[])) ORDER BY id
