SELECT t.id, t.version, p.path, t.session_id, t.title, t.status, t.state, t.created_at, t.updated_at
FROM tasks t JOIN scopes p ON p.id = t.scope_id
WHERE t.scope_id = $1 AND ($2::text[] IS NULL OR t.status = ANY ($2))
  AND (t.created_at, t.id) > ($3::timestamptz, $4::uuid)
ORDER BY t.created_at, t.id
LIMIT $5
