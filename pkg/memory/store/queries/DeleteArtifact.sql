DELETE FROM artifacts WHERE scope_id = $1 AND id = $2
  AND NOT EXISTS (SELECT FROM memory_artifacts l WHERE l.scope_id = $1 AND l.artifact_id = $2)
