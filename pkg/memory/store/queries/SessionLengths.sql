SELECT context_id::text, sum(own_length)
FROM memories
WHERE scope_id = $1 AND context_id IS NOT NULL AND status = 'live' AND validation_status <> 'rejected'
GROUP BY context_id
