-- How many memories of a session a window could show; see Window.sql.
SELECT count(*) FROM memories m
WHERE m.scope_id = $1 AND m.context_id = $2 AND m.session_id = $2
  AND m.status = 'live' AND m.validation_status <> 'rejected'
  AND (m.ttl IS NULL OR m.ttl > $3) AND m.sensitivity = ANY ($4::text[])
