SELECT p.path FROM retrieval_events e JOIN scopes p ON p.id = e.scope_id WHERE e.id = $1
