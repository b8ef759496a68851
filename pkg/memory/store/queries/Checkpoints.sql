SELECT sequence, status, state, created_at FROM task_checkpoints
WHERE scope_id = $1 AND task_id = $2 AND sequence > $3
ORDER BY sequence LIMIT $4
