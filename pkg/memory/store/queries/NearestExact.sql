-- The $10 memories of a scope that may be returned and are nearest to the question, by looking at every one, or at
-- those of a part as LexicalNarrow.sql does.
-- $1 scope, $2 to $8 filters, $9 vector of the question.
WITH measured AS MATERIALIZED (
    SELECT e.memory_id, e.vec <=> (SELECT $9::halfvec) AS distance
    FROM embedding_0 e
    WHERE e.scope_id = $1
      -- part session: AND e.memory_id IN (SELECT m.id FROM memories m WHERE m.scope_id = $1 AND m.context_id = $6)
      -- part verified: AND e.memory_id IN (SELECT m.id FROM memories m WHERE m.scope_id = $1 AND m.validation_status = 'verified')
      -- part rejected: AND e.memory_id IN (SELECT m.id FROM memories m WHERE m.scope_id = $1 AND m.validation_status = 'rejected')
), c AS MATERIALIZED (
    -- In the order of their distance, until there are enough.
    SELECT d.memory_id AS id, m.version, 1 - d.distance AS cosine
    FROM (SELECT * FROM measured ORDER BY distance, memory_id OFFSET 0) d
    CROSS JOIN LATERAL (
        SELECT m.xmin AS version FROM memories m
        WHERE m.id = d.memory_id AND m.scope_id = $1
          AND m.status = 'live' AND (m.validation_status = 'rejected') = $8
          AND m.sensitivity = ANY ($2::text[])
          AND (NOT $3 OR m.validation_status = 'verified')
          AND (NOT $4 OR m.flags = '{}')
          AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
          AND ($6::uuid IS NULL OR m.session_id = $6)
          AND (m.ttl IS NULL OR m.ttl > $7)
        OFFSET 0
    ) m
    LIMIT $10
)
SELECT string_agg(finding(id, version, cosine), '') FROM c
