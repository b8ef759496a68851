-- What a question needs of a small scope whose memories are at hand: its words as the index has them, those of them
-- that find memories, and of each memory in 21 bytes its id, which version of the row it is, and whether the filters
-- let it be returned.
-- $1 scope, $2 to $7 filters, $8 question.
SELECT tsvectorsend(to_tsvector('pg_catalog.english', $8)),
       (SELECT coalesce(array_agg(lexeme), '{}') FROM question_terms($8)),
       coalesce(string_agg(
           uuid_send(m.id) || xidsend(m.xmin) || CASE WHEN
               m.sensitivity = ANY ($2::text[])
               AND (NOT $3 OR m.validation_status = 'verified')
               AND (NOT $4 OR m.flags = '{}')
               AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
               AND ($6::uuid IS NULL OR m.session_id = $6)
               AND (m.ttl IS NULL OR m.ttl > $7)
           THEN '\x01'::bytea ELSE '\x00' END, ''), '')
FROM memories m
WHERE m.scope_id = $1 AND m.status = 'live' AND m.validation_status <> 'rejected'
