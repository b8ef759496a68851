-- No further than to $2.
SELECT count(*) FROM (SELECT FROM memories WHERE scope_id = $1 LIMIT $2) m
