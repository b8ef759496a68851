-- As LexicalWhole.sql, but no more than $11: those whose rare words weigh most. Without any word in the question, the
-- newest.
-- Of a large scope it looks at a part, where the filters leave one that an index leads to.
-- $1 scope, $2 to $8 filters, $9 vector of the question, $10 question, $11 most.
WITH question AS MATERIALIZED (
    SELECT * FROM question_terms($10)
), matched AS MATERIALIZED (
    SELECT m.id, m.xmin AS version, m.tsv, m.created_at, count(*) OVER () AS n
    FROM memories m
    WHERE m.scope_id = $1
      -- part session: AND m.context_id = $6
      -- part verified: AND m.validation_status = 'verified'
      -- part rejected: AND m.validation_status = 'rejected'
      AND m.status = 'live' AND (m.validation_status = 'rejected') = $8
      AND m.sensitivity = ANY ($2::text[])
      AND (NOT $3 OR m.validation_status = 'verified')
      AND (NOT $4 OR m.flags = '{}')
      AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
      AND ($6::uuid IS NULL OR m.session_id = $6)
      AND (m.ttl IS NULL OR m.ttl > $7)
      AND (m.tsv @@ (SELECT string_agg(query::text, ' | ')::tsquery FROM question) OR NOT EXISTS (SELECT FROM question))
), live AS MATERIALIZED (
    -- Looked at only where something has to be left out.
    SELECT m.tsv FROM memories m
    WHERE m.scope_id = $1 AND m.status = 'live' AND m.validation_status <> 'rejected'
      -- part session: AND m.context_id = $6
      -- part verified: AND m.validation_status = 'verified'
      -- part rejected: AND false
), weighed AS MATERIALIZED (
    SELECT q.query, term_weight((SELECT count(*) FROM live WHERE live.tsv @@ q.own), (SELECT count(*) FROM live)) AS weight
    FROM question q
), chosen AS MATERIALIZED (
    SELECT * FROM matched t
    ORDER BY CASE WHEN t.n > $11 THEN (SELECT sum(w.weight * ts_rank('{0.15, 0.2, 0.4, 1}', t.tsv, w.query)) FROM weighed w) END DESC,
             CASE WHEN t.n > $11 AND NOT EXISTS (SELECT FROM question) THEN t.created_at END DESC, t.id
    LIMIT $11
)
SELECT string_agg(finding(c.id, c.version, (SELECT 1 - (e.vec <=> (SELECT $9::halfvec)) FROM embedding_0 e WHERE e.scope_id = $1 AND e.memory_id = c.id)), '')
FROM chosen c
