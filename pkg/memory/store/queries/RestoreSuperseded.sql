-- $2 memories, $3 those that took their place.
UPDATE memories m SET superseded_by = s.by
FROM unnest($2::uuid[], $3::uuid[]) AS s(id, by)
WHERE m.scope_id = $1 AND m.id = s.id
