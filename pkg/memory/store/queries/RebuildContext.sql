-- After something came to or went from the places ($2 contexts, $3 ordinals): their neighbours, at most two before and
-- two after, with each other's texts as they are now, where that is new. An update that joins these may be planned to
-- read the whole scope for each, so SetContext.sql takes them by their keys.
WITH near AS MATERIALIZED (
    SELECT DISTINCT m.*
    FROM unnest($2::uuid[], $3::bigint[]) AS c(context_id, ordinal) CROSS JOIN LATERAL (
        (SELECT b.id, b.context_id, b.ordinal, b.sensitivity, b.previous_text, b.next_text, b.around_text FROM memories b
         WHERE b.scope_id = $1 AND b.context_id = c.context_id AND b.ordinal < c.ordinal
           AND b.status = 'live' AND b.validation_status <> 'rejected'
         ORDER BY b.ordinal DESC LIMIT 2)
        UNION ALL
        (SELECT a.id, a.context_id, a.ordinal, a.sensitivity, a.previous_text, a.next_text, a.around_text FROM memories a
         WHERE a.scope_id = $1 AND a.context_id = c.context_id AND a.ordinal >= c.ordinal
           AND a.status = 'live' AND a.validation_status <> 'rejected'
         ORDER BY a.ordinal LIMIT 3)
    ) m
), fresh AS MATERIALIZED (
    SELECT n.id,
           coalesce(right(b.texts[1], 1000), '') AS previous_text,
           coalesce(left(a.texts[1], 1000), '') AS next_text,
           concat_ws(E'\n', right(b.texts[2], 1000), left(a.texts[2], 1000)) AS around_text,
           n.previous_text AS previous_was, n.next_text AS next_was, n.around_text AS around_was
    FROM near n
    CROSS JOIN LATERAL (
        SELECT array_agg(CASE WHEN t.sensitivity = n.sensitivity THEN t.summary END ORDER BY t.ordinal DESC) AS texts
        FROM (SELECT m.summary, m.sensitivity, m.ordinal FROM memories m
              WHERE m.scope_id = $1 AND m.context_id = n.context_id AND m.ordinal < n.ordinal
                AND m.status = 'live' AND m.validation_status <> 'rejected'
              ORDER BY m.ordinal DESC LIMIT 2) t
    ) b
    CROSS JOIN LATERAL (
        SELECT array_agg(CASE WHEN t.sensitivity = n.sensitivity THEN t.summary END ORDER BY t.ordinal) AS texts
        FROM (SELECT m.summary, m.sensitivity, m.ordinal FROM memories m
              WHERE m.scope_id = $1 AND m.context_id = n.context_id AND m.ordinal > n.ordinal
                AND m.status = 'live' AND m.validation_status <> 'rejected'
              ORDER BY m.ordinal LIMIT 2) t
    ) a
)
SELECT id, previous_text, next_text, around_text FROM fresh
WHERE (previous_text, next_text, around_text) IS DISTINCT FROM (previous_was, next_was, around_was)
ORDER BY id
