-- $1 scope, $2 the memories as a JSON array in their order. None of them is there.
-- Answers with those that were written: another transaction may have been quicker.
WITH input AS MATERIALIZED (
    SELECT r.*, coalesce(r.session_id, r.task_id) AS context_id
    FROM jsonb_to_recordset($2::jsonb) AS r(
        n int, id uuid, memory_type text, summary text, content_sha256 text, session_id uuid, task_id uuid, source text,
        speaker text, occurred_at timestamptz, importance float8, confidence float8, sensitivity text,
        validation_status text, ttl timestamptz, flags text[], redactions jsonb, provenance jsonb, metadata jsonb,
        artifact_refs uuid[], bands int[])
), contexts AS MATERIALIZED (
    SELECT c.context_id, coalesce((
        SELECT m.ordinal FROM memories m WHERE m.scope_id = $1 AND m.context_id = c.context_id ORDER BY m.ordinal DESC LIMIT 1
    ), 0) AS last
    FROM (SELECT DISTINCT context_id FROM input WHERE context_id IS NOT NULL) c
), line AS (
    -- Each context from its last two memories on.
    SELECT c.context_id, t.ordinal, NULL::int AS n, t.summary, t.sensitivity
    FROM contexts c CROSS JOIN LATERAL (
        SELECT m.ordinal, m.summary, m.sensitivity
        FROM memories m
        WHERE m.scope_id = $1 AND m.context_id = c.context_id AND m.status = 'live' AND m.validation_status <> 'rejected'
        ORDER BY m.ordinal DESC LIMIT 2
    ) t
    UNION ALL
    SELECT c.context_id, c.last + row_number() OVER (PARTITION BY c.context_id ORDER BY i.n), i.n, i.summary, i.sensitivity
    FROM input i JOIN contexts c ON c.context_id = i.context_id
), placed AS (
    SELECT n, ordinal,
           CASE WHEN lag(sensitivity) OVER w = sensitivity THEN right(lag(summary) OVER w, 1000) END AS previous_text,
           CASE WHEN lead(sensitivity) OVER w = sensitivity THEN left(lead(summary) OVER w, 1000) END AS next_text,
           CASE WHEN lag(sensitivity, 2) OVER w = sensitivity THEN right(lag(summary, 2) OVER w, 1000) END AS before,
           CASE WHEN lead(sensitivity, 2) OVER w = sensitivity THEN left(lead(summary, 2) OVER w, 1000) END AS after
    FROM line
    WINDOW w AS (PARTITION BY context_id ORDER BY ordinal)
), written AS (
    INSERT INTO memories (
        scope_id, id, memory_type, summary, content_sha256, session_id, task_id, ordinal, source, speaker, occurred_at,
        importance, confidence, sensitivity, validation_status, ttl, flags, redactions, provenance, metadata,
        previous_text, next_text, around_text)
    SELECT $1, i.id, i.memory_type, i.summary, decode(i.content_sha256, 'hex'), i.session_id, i.task_id, coalesce(p.ordinal, 0),
           i.source, i.speaker, i.occurred_at, i.importance, i.confidence, i.sensitivity, i.validation_status, i.ttl, i.flags,
           i.redactions, i.provenance, i.metadata, coalesce(p.previous_text, ''), coalesce(p.next_text, ''),
           concat_ws(E'\n', p.before, p.after)
    FROM input i LEFT JOIN placed p ON p.n = i.n
    ORDER BY i.n
    ON CONFLICT DO NOTHING
    RETURNING id, version, context_id, ordinal
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
    SELECT e.id, $1, w.id, 1
    FROM written w JOIN input i ON i.id = w.id CROSS JOIN embedding_models e
    WHERE e.state IN ('building', 'active')
    ORDER BY i.n, e.id
)
SELECT i.n, w.id, w.version, w.context_id, w.ordinal FROM written w JOIN input i ON i.id = w.id ORDER BY i.n
