SELECT t.id, t.version, p.path, t.session_id, t.title, t.status, t.state, t.created_at, t.updated_at
FROM tasks t JOIN scopes p ON p.id = t.scope_id
WHERE t.scope_id = $1 AND t.id = $2
