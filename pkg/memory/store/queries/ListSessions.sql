SELECT s.id, p.path, s.title, s.metadata, s.created_at, s.ended_at,
       (SELECT count(*) FROM memories m WHERE m.scope_id = s.scope_id AND m.context_id = s.id AND m.session_id = s.id
          AND m.status = 'live' AND m.validation_status <> 'rejected')
FROM sessions s JOIN scopes p ON p.id = s.scope_id
WHERE s.scope_id = $1 AND (s.created_at, s.id) > ($2::timestamptz, $3::uuid)
ORDER BY s.created_at, s.id
LIMIT $4
