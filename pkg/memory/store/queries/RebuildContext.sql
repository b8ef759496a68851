-- After something came to or went from the places ($2 contexts, $3 ordinals): their
-- neighbours, at most two before and two after, take each other's texts anew.
WITH near AS (
    SELECT DISTINCT m.id, m.context_id, m.ordinal, m.sensitivity
    FROM unnest($2::uuid[], $3::bigint[]) AS c(context_id, ordinal) CROSS JOIN LATERAL (
        (SELECT b.id, b.context_id, b.ordinal, b.sensitivity FROM memories b
         WHERE b.scope_id = $1 AND b.context_id = c.context_id AND b.ordinal < c.ordinal
           AND b.status = 'live' AND b.validation_status <> 'rejected'
         ORDER BY b.ordinal DESC LIMIT 2)
        UNION ALL
        (SELECT a.id, a.context_id, a.ordinal, a.sensitivity FROM memories a
         WHERE a.scope_id = $1 AND a.context_id = c.context_id AND a.ordinal >= c.ordinal
           AND a.status = 'live' AND a.validation_status <> 'rejected'
         ORDER BY a.ordinal LIMIT 3)
    ) m
), fresh AS (
    SELECT n.id,
           coalesce(right(b.texts[1], 1000), '') AS previous_text,
           coalesce(left(a.texts[1], 1000), '') AS next_text,
           concat_ws(E'\n', right(b.texts[2], 1000), left(a.texts[2], 1000)) AS around_text
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
UPDATE memories m
SET previous_text = f.previous_text, next_text = f.next_text, around_text = f.around_text
FROM fresh f
WHERE m.scope_id = $1 AND m.id = f.id
  AND (m.previous_text, m.next_text, m.around_text) IS DISTINCT FROM (f.previous_text, f.next_text, f.around_text)
