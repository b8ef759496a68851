-- A scope that is there takes no number from the sequence.
WITH there AS (SELECT id FROM scopes WHERE path = $1),
made AS (INSERT INTO scopes (path) SELECT $1 WHERE NOT EXISTS (SELECT FROM there) ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM there UNION ALL SELECT id FROM made
