-- Whoever changes the order of a session or a task holds it, one after the other.
WITH s AS MATERIALIZED (
    SELECT id FROM sessions WHERE scope_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR UPDATE
), t AS MATERIALIZED (
    SELECT id FROM tasks WHERE scope_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR UPDATE
)
SELECT (SELECT count(*) FROM s) + (SELECT count(*) FROM t)
