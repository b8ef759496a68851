INSERT INTO scope_statistics (scope_id, documents, own_length)
SELECT $1, count(*), coalesce(avg(own_length), 0)
FROM memories WHERE scope_id = $1 AND status = 'live' AND validation_status <> 'rejected'
ON CONFLICT (scope_id) DO UPDATE SET documents = excluded.documents, own_length = excluded.own_length, computed_at = now()
