-- As LexicalNarrow.sql, of a large scope: frequent words find no memories where rare ones do.
-- $1 scope, $2 to $8 filters, $9 vector of the question, $10 question, $11 most, $12 how many may be looked at.
SELECT string_agg(finding(c.id, c.version, (SELECT 1 - (e.vec <=> (SELECT $9::halfvec)) FROM embedding_0 e WHERE e.scope_id = $1 AND e.memory_id = c.id)), '')
FROM wide_candidates($1, $2::text[], $3, $4, $5::text[], $6, $7, $10, $12, $11) c
WHERE NOT $8
