-- Large scopes whose statistics are missing, or are of a tenth fewer or more memories than there are.
SELECT c.scope_id, c.n
FROM (SELECT scope_id, count(*) AS n FROM memories GROUP BY scope_id) c
LEFT JOIN scope_statistics s ON s.scope_id = c.scope_id
WHERE c.n > $1 AND (s.scope_id IS NULL OR abs(c.n - s.documents) > s.documents / 10)
