WITH event AS (
    INSERT INTO retrieval_events (scope_id, id, event_type, query, returned_artifact_ids, metadata, caller, model, configuration, as_of, latency_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    RETURNING created_at
), hits AS (
    INSERT INTO retrieval_hits (scope_id, event_id, rank, memory_id, memory_version, score, parts)
    SELECT $1, $2, h.rank, h.memory_id, h.memory_version, h.score, h.parts::jsonb
    FROM unnest($12::int[], $13::uuid[], $14::int[], $15::float8[], $16::text[]) AS h(rank, memory_id, memory_version, score, parts)
)
SELECT created_at FROM event
