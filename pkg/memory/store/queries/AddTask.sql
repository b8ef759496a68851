INSERT INTO tasks (scope_id, id, session_id, title, status, state) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING
