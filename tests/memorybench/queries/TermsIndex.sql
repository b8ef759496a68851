SELECT pg_get_indexdef('memories_terms'::regclass)
