SELECT id, name, provider, dimensions, document_prefix, query_prefix, weight, state FROM embedding_models WHERE name = $1
