-- Of some memories of a scope what their ranking needs, and which version of the row that is.
SELECT m.id, xidsend(m.xmin), coalesce(m.context_id::text, ''), m.ordinal, m.speaker, m.occurred_at, m.created_at, m.summary, m.previous_text,
       tsvectorsend(m.tsv), m.importance, m.confidence, m.validation_status = 'verified', m.source, m.own_length
FROM memories m
WHERE m.scope_id = $1 AND m.id = ANY ($2::uuid[])
