INSERT INTO artifacts (scope_id, id, sha256, storage_uri, artifact_type, media_type, name, size_bytes, sensitivity, provenance)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (scope_id, sha256) DO NOTHING
