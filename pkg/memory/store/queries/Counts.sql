SELECT (SELECT count(*) FROM scopes), (SELECT count(*) FROM sessions), (SELECT count(*) FROM tasks),
       (SELECT count(*) FROM artifacts), (SELECT count(*) FROM retrieval_events), pg_database_size(current_database())
