-- Of memories and artifacts: that of retrieval events is history of this place.
SELECT id, memory_id, artifact_id, retrieval_event_id, source_identity, source_event, created_at FROM provenance
WHERE scope_id = $1 AND retrieval_event_id IS NULL AND (created_at, id) > ($2::timestamptz, $3::uuid)
ORDER BY created_at, id
LIMIT $4
