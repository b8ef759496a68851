SELECT * FROM memory_rows WHERE scope_id = $1 AND id = $2
