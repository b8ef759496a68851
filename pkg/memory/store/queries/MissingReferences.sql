-- Which of these things the scope does not have: $2 says what each is, $3 is its id.
SELECT r.n
FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS r(kind, id, n)
WHERE NOT CASE r.kind
    WHEN 'session' THEN EXISTS (SELECT FROM sessions t WHERE t.scope_id = $1 AND t.id = r.id)
    WHEN 'task' THEN EXISTS (SELECT FROM tasks t WHERE t.scope_id = $1 AND t.id = r.id)
    WHEN 'artifact' THEN EXISTS (SELECT FROM artifacts t WHERE t.scope_id = $1 AND t.id = r.id)
    WHEN 'memory' THEN EXISTS (SELECT FROM memories t WHERE t.scope_id = $1 AND t.id = r.id)
    WHEN 'retrieval event' THEN EXISTS (SELECT FROM retrieval_events t WHERE t.scope_id = $1 AND t.id = r.id)
END
ORDER BY r.n
