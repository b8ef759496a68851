SELECT index_embedding_table($1)
