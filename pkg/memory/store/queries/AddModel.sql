INSERT INTO embedding_models (name, provider, dimensions, document_prefix, query_prefix, weight, state)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO NOTHING
RETURNING id
