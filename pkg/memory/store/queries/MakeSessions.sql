INSERT INTO sessions (scope_id, id)
SELECT $1, id FROM unnest($2::uuid[]) id ORDER BY id
ON CONFLICT DO NOTHING
