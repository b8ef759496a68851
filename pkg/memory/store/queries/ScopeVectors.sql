-- Some vectors of a scope as halfvec_send gives them, and which version of the row that is.
SELECT memory_id, xidsend(xmin), halfvec_send(vec) FROM embedding_0 WHERE scope_id = $1 AND memory_id = ANY ($2::uuid[])
