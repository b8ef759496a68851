SELECT count(*) FROM (SELECT FROM embedding_0 LIMIT $1) e
