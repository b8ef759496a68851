-- No further than to $2.
SELECT count(*) FROM (SELECT FROM memories WHERE scope_id = $1 AND validation_status = 'verified' LIMIT $2) m
