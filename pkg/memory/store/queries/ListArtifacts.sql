SELECT a.id, p.path, a.sha256, a.storage_uri, a.artifact_type, a.media_type, a.name, a.size_bytes, a.sensitivity, a.provenance, a.created_at
FROM artifacts a JOIN scopes p ON p.id = a.scope_id
WHERE a.scope_id = $1 AND (a.created_at, a.id) > ($2::timestamptz, $3::uuid)
ORDER BY a.created_at, a.id
LIMIT $4
