INSERT INTO retrieval_events (scope_id, id, event_type, query, metadata, caller, as_of)
SELECT s.id, {id}, 'retrieval', {question}, {hits}::jsonb, '{}', now() FROM scopes s WHERE s.path = {scope}
