-- $1 scope, $2 the query whose tsvectors are counted; words that only one memory says are worth no row.
WITH any_class AS MATERIALIZED (
    SELECT word, ndoc FROM ts_stat($2) WHERE ndoc > 1
), own AS MATERIALIZED (
    SELECT word, ndoc FROM ts_stat($2, 'a')
), gone AS (
    DELETE FROM scope_terms t WHERE t.scope_id = $1 AND NOT EXISTS (SELECT FROM any_class a WHERE a.word = t.lexeme)
)
INSERT INTO scope_terms (scope_id, lexeme, df, matches)
SELECT $1, a.word, coalesce(o.ndoc, 0), a.ndoc FROM any_class a LEFT JOIN own o ON o.word = a.word
ON CONFLICT (scope_id, lexeme) DO UPDATE SET df = excluded.df, matches = excluded.matches
    WHERE (scope_terms.df, scope_terms.matches) IS DISTINCT FROM (excluded.df, excluded.matches)
