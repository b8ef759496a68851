-- Of some memories of a scope what their ranking needs, and which version of the row that is: one after the other by its
-- key, as in Memories.sql.
SELECT m.id, xidsend(m.tuple), coalesce(m.context_id::text, ''), m.ordinal, m.speaker, m.occurred_at, m.created_at, m.summary, m.previous_text,
       tsvectorsend(m.tsv), m.importance, m.confidence, m.validation_status = 'verified', m.source, m.own_length
FROM unnest($2::uuid[]) AS i (id)
CROSS JOIN LATERAL (SELECT xmin AS tuple, * FROM memories WHERE scope_id = $1 AND id = i.id OFFSET 0) m
