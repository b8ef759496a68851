-- The artifacts of these memories.
SELECT memory_id, artifact_id FROM memory_artifacts WHERE scope_id = $1 AND memory_id = ANY ($2::uuid[])
