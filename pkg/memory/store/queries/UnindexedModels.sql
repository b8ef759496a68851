SELECT id FROM embedding_models WHERE state <> 'retired' AND NOT indexed
