-- Of a session or a task one after the other by its key, since the order of the page would have Postgres read the whole
-- scope.
SELECT m.* FROM
    -- part session: (SELECT id FROM memories WHERE scope_id = $1 AND context_id = $6) i CROSS JOIN LATERAL
    -- part task: (SELECT id FROM memories WHERE scope_id = $1 AND task_id = $7) i CROSS JOIN LATERAL
    (
        SELECT * FROM memory_rows WHERE scope_id = $1
        -- part session: AND id = i.id OFFSET 0
        -- part task: AND id = i.id OFFSET 0
    ) m
WHERE ($2::text[] IS NULL OR m.memory_type = ANY ($2))
  AND ($3::text[] IS NULL OR m.validation_status = ANY ($3))
  AND ($4::text[] IS NULL OR m.status = ANY ($4))
  AND ($5::text[] IS NULL OR m.sensitivity = ANY ($5))
  AND ($6::uuid IS NULL OR m.session_id = $6)
  AND ($7::uuid IS NULL OR m.task_id = $7)
  AND (m.created_at, m.id) > ($8::timestamptz, $9::uuid)
ORDER BY m.created_at, m.id
LIMIT $10
