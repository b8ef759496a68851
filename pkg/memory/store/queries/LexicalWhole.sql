-- The memories of a scope that may be returned and have a word of the question, itself or by a neighbour: all of them.
-- Without any word in the question, every one.
-- $1 scope, $2 to $8 filters, $9 vector of the question, $10 question.
WITH question AS MATERIALIZED (
    SELECT string_agg(query::text, ' | ')::tsquery AS words FROM question_terms($10)
)
SELECT string_agg(finding(m.id, m.xmin, (SELECT 1 - (e.vec <=> (SELECT $9::halfvec)) FROM embedding_0 e WHERE e.scope_id = $1 AND e.memory_id = m.id)), '')
FROM memories m
WHERE m.scope_id = $1
  AND m.status = 'live' AND (m.validation_status = 'rejected') = $8
  AND m.sensitivity = ANY ($2::text[])
  AND (NOT $3 OR m.validation_status = 'verified')
  AND (NOT $4 OR m.flags = '{}')
  AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
  AND ($6::uuid IS NULL OR m.session_id = $6)
  AND (m.ttl IS NULL OR m.ttl > $7)
  AND (m.tsv @@ (SELECT words FROM question) OR (SELECT words FROM question) IS NULL)
