SELECT * FROM memory_rows m
WHERE m.scope_id = $1
  AND ($2::text[] IS NULL OR m.memory_type = ANY ($2))
  AND ($3::text[] IS NULL OR m.validation_status = ANY ($3))
  AND ($4::text[] IS NULL OR m.status = ANY ($4))
  AND ($5::text[] IS NULL OR m.sensitivity = ANY ($5))
  AND ($6::uuid IS NULL OR m.session_id = $6)
  AND ($7::uuid IS NULL OR m.task_id = $7)
  AND (m.created_at, m.id) > ($8::timestamptz, $9::uuid)
ORDER BY m.created_at, m.id
LIMIT $10
