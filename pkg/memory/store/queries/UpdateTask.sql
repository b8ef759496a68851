UPDATE tasks SET status = $4, state = $5, version = version + 1, updated_at = now()
WHERE scope_id = $1 AND id = $2 AND ($3 = 0 OR version = $3)
