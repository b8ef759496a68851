-- Of all scopes, the newest first.
SELECT e.id, e.event_type, p.path, e.query,
       coalesce((SELECT array_agg(h.memory_id ORDER BY h.rank) FROM retrieval_hits h WHERE h.scope_id = e.scope_id AND h.event_id = e.id), '{}'),
       e.returned_artifact_ids, e.metadata, e.caller, e.model, e.configuration, e.as_of, e.latency_ms, e.created_at
FROM retrieval_events e JOIN scopes p ON p.id = e.scope_id
WHERE (e.created_at, e.id) < ($1::timestamptz, $2::uuid)
ORDER BY e.created_at DESC, e.id DESC
LIMIT $3
