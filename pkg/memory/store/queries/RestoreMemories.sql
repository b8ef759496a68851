-- $1 scope, $2 memories as a JSON array. Answers with the ids that were written, and those that were there, the same.
WITH input AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($2::jsonb) AS r(
        n int, id uuid, version int, memory_type text, summary text, content_sha256 text, session_id uuid, task_id uuid, ordinal bigint,
        source text, speaker text, occurred_at timestamptz, importance float8, confidence float8, sensitivity text,
        validation_status text, status text, status_reason text, ttl timestamptz, flags text[], redactions jsonb,
        provenance jsonb, metadata jsonb, artifact_refs uuid[], bands int[], created_at timestamptz, updated_at timestamptz)
), written AS (
    INSERT INTO memories (
        scope_id, id, version, memory_type, summary, content_sha256, session_id, task_id, ordinal, source, speaker, occurred_at,
        importance, confidence, sensitivity, validation_status, status, status_reason, ttl, flags, redactions, provenance, metadata,
        created_at, updated_at)
    SELECT $1, id, version, memory_type, summary, decode(content_sha256, 'hex'), session_id, task_id, ordinal, source, speaker, occurred_at,
           importance, confidence, sensitivity, validation_status, status, status_reason, ttl, flags, redactions, provenance, metadata,
           created_at, updated_at
    FROM input ORDER BY n
    ON CONFLICT DO NOTHING
    RETURNING id, version, status, validation_status
), bands AS (
    INSERT INTO memory_bands (scope_id, band, memory_id)
    SELECT DISTINCT $1::int, band, w.id FROM written w JOIN input i ON i.id = w.id CROSS JOIN unnest(i.bands) band
    ORDER BY 2
), links AS (
    INSERT INTO memory_artifacts (scope_id, memory_id, position, artifact_id)
    SELECT $1, w.id, a.position, a.id
    FROM written w JOIN input i ON i.id = w.id CROSS JOIN unnest(i.artifact_refs) WITH ORDINALITY AS a(id, position)
), jobs AS (
    INSERT INTO outbox (model_id, scope_id, memory_id, memory_version)
    SELECT e.id, $1, w.id, w.version
    FROM written w CROSS JOIN embedding_models e
    WHERE e.state IN ('building', 'active') AND w.status = 'live'
)
SELECT ARRAY(SELECT id FROM written), ARRAY(
    SELECT i.id FROM input i JOIN memories m ON m.scope_id = $1 AND m.id = i.id
    WHERE (m.content_sha256, m.memory_type, m.created_at) IS NOT DISTINCT FROM (decode(i.content_sha256, 'hex'), i.memory_type, i.created_at)
)
