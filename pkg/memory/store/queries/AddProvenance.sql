INSERT INTO provenance (scope_id, id, memory_id, artifact_id, retrieval_event_id, source_identity, source_event)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, memory_id, artifact_id, retrieval_event_id, source_identity, source_event, created_at
