-- What the order of candidates needs of a small scope: memories, average words of one, and of each word of the
-- question how many say it themselves.
WITH question AS MATERIALIZED (
    SELECT * FROM question_terms($2)
), saying AS MATERIALIZED (
    SELECT m.tsv FROM memories m
    WHERE m.scope_id = $1 AND m.status = 'live' AND m.validation_status <> 'rejected'
      AND m.tsv @@ (SELECT string_agg(own::text, ' | ')::tsquery FROM question)
)
SELECT tsvectorsend(to_tsvector('pg_catalog.english', $2)), count(*), coalesce(avg(m.own_length), 0)::float8,
       coalesce((SELECT jsonb_object_agg(q.lexeme, (SELECT count(*) FROM saying d WHERE d.tsv @@ q.own)) FROM question q), '{}')
FROM memories m
WHERE m.scope_id = $1 AND m.status = 'live' AND m.validation_status <> 'rejected'
