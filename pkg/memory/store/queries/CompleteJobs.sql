-- $1 worker, $2 model, $3 rows of the outbox, $4 memories, $5 versions, $6 their vectors. A row that is ours ends, and
-- its vector is written when the memory is what it was. Memories are held before rows, as who deletes one does it.
-- Answers with the vectors written, and the results that came too late for their memory: their row is gone, or newer.
WITH result AS MATERIALIZED (
    SELECT * FROM unnest($3::bigint[], $4::uuid[], $5::int[], $6::text[]) AS r(id, memory_id, memory_version, vec)
), held AS MATERIALIZED (
    SELECT r.id FROM result r JOIN outbox o ON o.id = r.id JOIN memories m ON m.scope_id = o.scope_id AND m.id = o.memory_id
    ORDER BY r.id
    FOR KEY SHARE OF m
), ours AS MATERIALIZED (
    SELECT o.id, o.scope_id, o.memory_id, r.memory_version, r.vec, o.memory_version = r.memory_version AS fresh
    FROM held h JOIN result r ON r.id = h.id JOIN outbox o ON o.id = r.id AND o.model_id = $2 AND o.memory_id = r.memory_id
    WHERE o.claimed_by = $1
    ORDER BY o.id
    FOR UPDATE OF o
), written AS (
    INSERT INTO embedding_0 AS e (scope_id, memory_id, memory_version, vec)
    SELECT scope_id, memory_id, memory_version, vec::halfvec FROM ours WHERE fresh ORDER BY scope_id, memory_id
    ON CONFLICT (scope_id, memory_id) DO UPDATE SET memory_version = excluded.memory_version, vec = excluded.vec
    RETURNING memory_id
), ended AS (
    DELETE FROM outbox o USING ours WHERE o.id = ours.id AND ours.fresh
), again AS (
    UPDATE outbox o SET claimed_by = NULL, claimed_until = NULL, handed_at = NULL FROM ours WHERE o.id = ours.id AND NOT ours.fresh
)
SELECT (SELECT count(*) FROM written),
       (SELECT count(*) FROM ours WHERE NOT fresh) + (SELECT count(*) FROM result r WHERE NOT EXISTS (SELECT FROM held h WHERE h.id = r.id))
