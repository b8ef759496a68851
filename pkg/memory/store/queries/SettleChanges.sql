WITH settled AS (DELETE FROM scope_changes WHERE scope_id = $1)
INSERT INTO scope_changes (scope_id) VALUES ($1)
