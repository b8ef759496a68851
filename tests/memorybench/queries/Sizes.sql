SELECT pg_total_relation_size('memories'), pg_total_relation_size('memory_bands'),
       (SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relname ~ '^embedding_[1-9][0-9]*$' AND relkind = 'r')::bigint,
       pg_database_size(current_database())
