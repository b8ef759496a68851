SELECT count(*) FILTER (WHERE NOT dead AND (claimed_until IS NULL OR claimed_until <= now())),
       count(*) FILTER (WHERE NOT dead AND claimed_until > now()),
       count(*) FILTER (WHERE dead),
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE NOT dead)), 0)::float8,
       (SELECT created_at FROM embedding_models WHERE id = $1),
       (SELECT count(*) FROM embedding_0),
       (SELECT count(*) FROM memories m
        WHERE m.status = 'live'
          AND NOT EXISTS (SELECT FROM embedding_0 e WHERE e.scope_id = m.scope_id AND e.memory_id = m.id)
          AND NOT EXISTS (SELECT FROM outbox o WHERE o.model_id = $1 AND o.scope_id = m.scope_id AND o.memory_id = m.id))
FROM outbox WHERE model_id = $1
