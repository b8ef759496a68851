SELECT m.indexed, greatest(coalesce(c.reltuples, 0), 0)::bigint
FROM embedding_models m LEFT JOIN pg_class c ON c.oid = to_regclass('embedding_' || m.id)
WHERE m.id = $1
