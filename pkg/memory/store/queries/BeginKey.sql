-- Waits for another request of the same key that is under way.
INSERT INTO idempotency_keys (caller, key, request_sha256) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING
