-- As LexicalNarrow.sql, of a large scope: frequent words find no memories where rare ones do.
-- $1 scope, $2 to $8 filters, $9 vector of the question, $10 question, $11 most, $12 how many may be looked at.
SELECT m.id, coalesce(m.context_id::text, ''), m.ordinal, m.speaker, m.occurred_at, m.created_at, m.summary, m.previous_text,
       tsvectorsend(m.tsv), (SELECT 1 - (e.vec <=> (SELECT $9::halfvec)) FROM embedding_0 e WHERE e.scope_id = $1 AND e.memory_id = m.id),
       m.importance, m.confidence, m.validation_status = 'verified', m.source
FROM wide_candidates($1, $2::text[], $3, $4, $5::text[], $6, $7, $10, $12, $11) c CROSS JOIN LATERAL (SELECT * FROM memories WHERE scope_id = $1 AND id = c.id OFFSET 0) m
WHERE NOT $8
ORDER BY m.id
