-- The live memory with the content of $2, of the class $3 or, where that is empty, of its own. One after the other by
-- its key: a join may be planned to read the whole scope.
SELECT m.id FROM (
    SELECT coalesce(nullif($3, ''), memory_type) AS memory_type, content_sha256 FROM memories WHERE scope_id = $1 AND id = $2 OFFSET 0
) o CROSS JOIN LATERAL (
    SELECT id FROM memories
    WHERE scope_id = $1 AND memory_type = o.memory_type AND content_sha256 = o.content_sha256
      AND id <> $2 AND status = 'live' AND validation_status <> 'rejected'
    OFFSET 0
) m
