SELECT create_embedding_table($1)
