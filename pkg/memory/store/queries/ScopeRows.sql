-- Of each memory of a small scope, in 21 bytes, its id, which version of the row it is, and whether the filters let it
-- be returned; and from when until when that holds, as far as it depends on the time.
-- $1 scope, $2 to $7 filters.
SELECT coalesce(string_agg(
           uuid_send(m.id) || xidsend(m.xmin) || CASE WHEN
               m.sensitivity = ANY ($2::text[])
               AND (NOT $3 OR m.validation_status = 'verified')
               AND (NOT $4 OR m.flags = '{}')
               AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
               AND ($6::uuid IS NULL OR m.session_id = $6)
               AND (m.ttl IS NULL OR m.ttl > $7)
           THEN '\x01'::bytea ELSE '\x00' END, ''), ''),
       max(m.ttl) FILTER (WHERE m.ttl <= $7), min(m.ttl) FILTER (WHERE m.ttl > $7)
FROM memories m
WHERE m.scope_id = $1 AND m.status = 'live' AND m.validation_status <> 'rejected'
