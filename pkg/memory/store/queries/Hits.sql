SELECT rank, memory_id, memory_version, score, parts FROM retrieval_hits WHERE scope_id = $1 AND event_id = $2 ORDER BY rank
