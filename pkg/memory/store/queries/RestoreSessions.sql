-- $1 scope, $2 sessions as a JSON array. Answers with the ids that were written, and those that were there, the same.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS r(id uuid, title text, metadata jsonb, created_at timestamptz, ended_at timestamptz)
), written AS (
    INSERT INTO sessions (scope_id, id, title, metadata, created_at, ended_at)
    SELECT $1, id, coalesce(title, ''), metadata, created_at, ended_at FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ARRAY(SELECT id FROM written), ARRAY(
    SELECT i.id FROM input i JOIN sessions s ON s.scope_id = $1 AND s.id = i.id
    WHERE (s.title, s.metadata, s.created_at) IS NOT DISTINCT FROM (coalesce(i.title, ''), i.metadata, i.created_at)
)
