-- As CountNarrow.sql, from the statistics of a large scope.
SELECT tsvectorsend(to_tsvector('pg_catalog.english', $2)), coalesce(max(s.documents), 0), coalesce(max(s.own_length), 0),
       coalesce((SELECT jsonb_object_agg(q.lexeme, t.df)
                 FROM question_terms($2) q JOIN scope_terms t ON t.scope_id = $1 AND t.lexeme = q.lexeme), '{}')
FROM scope_statistics s WHERE s.scope_id = $1
