INSERT INTO sessions (scope_id, id) SELECT $1, unnest($2::uuid[])
