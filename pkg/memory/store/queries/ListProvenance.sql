-- Of the one subject that is not null.
SELECT id, memory_id, artifact_id, retrieval_event_id, source_identity, source_event, created_at FROM provenance
WHERE scope_id = $1 AND (memory_id = $2 OR artifact_id = $3 OR retrieval_event_id = $4)
ORDER BY created_at, id
LIMIT $5
