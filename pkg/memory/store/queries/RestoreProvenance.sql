-- $1 scope, $2 lineage as a JSON array. Answers with the ids that were written, and those that were there, the same.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS r(
        id uuid, memory_id uuid, artifact_id uuid, source_identity text, source_event jsonb, created_at timestamptz)
), written AS (
    INSERT INTO provenance (scope_id, id, memory_id, artifact_id, source_identity, source_event, created_at)
    SELECT $1, id, memory_id, artifact_id, source_identity, source_event, created_at FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ARRAY(SELECT id FROM written), ARRAY(
    SELECT i.id FROM input i JOIN provenance p ON p.scope_id = $1 AND p.id = i.id
    WHERE (p.source_identity, p.source_event) IS NOT DISTINCT FROM (i.source_identity, i.source_event)
)
