-- One after the other by its key: Postgres, which takes a scope for a small one, would read it whole.
SELECT m.* FROM unnest($2::uuid[]) AS i (id) CROSS JOIN LATERAL (SELECT * FROM memory_rows WHERE scope_id = $1 AND id = i.id OFFSET 0) m
