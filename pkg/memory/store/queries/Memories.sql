SELECT * FROM memory_rows WHERE scope_id = $1 AND id = ANY ($2::uuid[])
