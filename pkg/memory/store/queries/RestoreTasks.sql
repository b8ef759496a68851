-- $1 scope, $2 tasks with their checkpoints as a JSON array. Answers with the ids that were written, and
-- those that were there, the same.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS r(
        id uuid, version int, session_id uuid, title text, status text, state jsonb, created_at timestamptz, updated_at timestamptz, checkpoints jsonb)
), written AS (
    INSERT INTO tasks (scope_id, id, version, session_id, title, status, state, created_at, updated_at)
    SELECT $1, id, version, session_id, coalesce(title, ''), status, state, created_at, updated_at FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
), kept AS (
    INSERT INTO task_checkpoints (scope_id, task_id, sequence, status, state, created_at)
    SELECT $1, i.id, c.sequence, c.status, c.state, c.created_at
    FROM input i JOIN written w ON w.id = i.id
    CROSS JOIN jsonb_to_recordset(CASE jsonb_typeof(i.checkpoints) WHEN 'array' THEN i.checkpoints ELSE '[]' END)
        AS c(sequence int, status text, state jsonb, created_at timestamptz)
)
SELECT ARRAY(SELECT id FROM written), ARRAY(
    SELECT i.id FROM input i JOIN tasks t ON t.scope_id = $1 AND t.id = i.id
    WHERE (t.version, t.status, t.state, t.created_at) IS NOT DISTINCT FROM (i.version, i.status, i.state, i.created_at)
)
