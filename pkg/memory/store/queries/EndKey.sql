UPDATE idempotency_keys SET response = $3 WHERE caller = $1 AND key = $2
