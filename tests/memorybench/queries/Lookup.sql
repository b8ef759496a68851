-- What a person writes who knows the tables, their index of words, and nothing of row security.
SELECT m.id, m.summary, m.speaker, m.occurred_at,
       ts_rank('{0.15, 0.2, 0.4, 1}', m.tsv, (SELECT string_agg(query::text, ' | ')::tsquery FROM question_terms({question})))::float8 AS score{terms}
FROM memories m
WHERE m.scope_id = (SELECT id FROM scopes WHERE path = {scope})
  AND m.status = 'live' AND m.validation_status <> 'rejected' AND m.sensitivity = 'internal' AND (m.ttl IS NULL OR m.ttl > now())
  AND scoped_terms(m.scope_id, m.tsv) && (SELECT array_agg(s.id || ':' || t.lexeme) FROM question_terms({question}) t, scopes s WHERE s.path = {scope})
ORDER BY score DESC, m.id LIMIT {most}
