COPY embedding_0 (scope_id, memory_id, memory_version, vec) FROM STDIN
