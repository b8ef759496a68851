-- Of each vector of a scope, in 24 bytes, whose it is and how far it is from the question's, $2.
SELECT coalesce(string_agg(uuid_send(e.memory_id) || float8send(e.vec <=> $2::halfvec), ''), '') FROM embedding_0 e WHERE e.scope_id = $1
