SELECT request_sha256, response FROM idempotency_keys WHERE caller = $1 AND key = $2
