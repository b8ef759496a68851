-- Of each vector of a scope, in 20 bytes, whose it is and which version of the row it is.
SELECT coalesce(string_agg(uuid_send(memory_id) || xidsend(xmin), ''), '') FROM embedding_0 WHERE scope_id = $1
