-- As NearestExact.sql, through the index: it may find fewer, and miss some.
-- $1 scope, $2 to $8 filters, $9 vector of the question, $10 most.
WITH c AS MATERIALIZED (
    -- One after the other by its key, nearest first, until there are enough: a join may be planned to read the scope.
    SELECT e.memory_id AS id, m.version, 1 - (e.vec <=> $9::halfvec) AS cosine
    FROM embedding_0 e CROSS JOIN LATERAL (
        SELECT m.xmin AS version FROM memories m
        WHERE m.scope_id = $1 AND m.id = e.memory_id
          AND m.status = 'live' AND (m.validation_status = 'rejected') = $8
          AND m.sensitivity = ANY ($2::text[])
          AND (NOT $3 OR m.validation_status = 'verified')
          AND (NOT $4 OR m.flags = '{}')
          AND ($5::text[] IS NULL OR m.memory_type = ANY ($5))
          AND ($6::uuid IS NULL OR m.session_id = $6)
          AND (m.ttl IS NULL OR m.ttl > $7)
        OFFSET 0
    ) m
    WHERE e.scope_id = $1
    ORDER BY e.vec <=> $9::halfvec
    LIMIT $10
)
SELECT string_agg(finding(id, version, cosine), '') FROM c
