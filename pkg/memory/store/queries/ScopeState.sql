-- What a question needs of a scope that is at hand: which state it is in, and the question's words as the index has
-- them, with those of them that find memories where there are too many. No two states share the three numbers: changes
-- add rows, and SettleChanges.sql puts a later row in their place.
-- $1 scope, $2 question.
SELECT coalesce(max(c.id), 0), count(*), coalesce(sum(c.id), 0)::bigint,
       (SELECT tsvectorsend(to_tsvector('pg_catalog.english', $2))),
       (SELECT CASE WHEN length(to_tsvector('pg_catalog.english', $2)) > 64 THEN (SELECT array_agg(lexeme) FROM question_terms($2)) END)
FROM scope_changes c WHERE c.scope_id = $1
