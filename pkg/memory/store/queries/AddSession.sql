INSERT INTO sessions (scope_id, id, title, metadata) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
