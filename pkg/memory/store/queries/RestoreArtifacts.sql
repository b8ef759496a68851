-- $1 scope, $2 artifacts as a JSON array. Answers with the ids that were written, and those that were there, the same.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS r(
        id uuid, sha256 text, storage_uri text, artifact_type text, media_type text, name text, size_bytes bigint, sensitivity text,
        provenance jsonb, created_at timestamptz)
), written AS (
    INSERT INTO artifacts (scope_id, id, sha256, storage_uri, artifact_type, media_type, name, size_bytes, sensitivity, provenance, created_at)
    SELECT $1, id, sha256, storage_uri, artifact_type, coalesce(media_type, ''), coalesce(name, ''), size_bytes, sensitivity, provenance, created_at
    FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT ARRAY(SELECT id FROM written), ARRAY(
    SELECT i.id FROM input i JOIN artifacts a ON a.scope_id = $1 AND a.id = i.id
    WHERE (a.sha256, a.created_at) IS NOT DISTINCT FROM (i.sha256, i.created_at)
)
