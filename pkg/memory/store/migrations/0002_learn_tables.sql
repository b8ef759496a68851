-- Postgres plans a statement on a young table blindly until its autovacuum has been there, a minute later or never. It
-- then takes every condition for a rare one and may read a whole scope where a key would do. learn_tables looks at the
-- tables that were never looked at or are four times as large as then. The service may ask for that; it may not look
-- itself, since it owns no table.
CREATE FUNCTION learn_tables() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    grown regclass;
BEGIN
    IF NOT pg_try_advisory_xact_lock(7263518409126) THEN
        RETURN; -- somebody is at it
    END IF;
    FOR grown IN
        SELECT c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND (c.relname IN ('sessions', 'tasks', 'memories', 'memory_bands', 'memory_artifacts', 'outbox') OR c.relname ~ '^embedding_[1-9]')
          AND pg_relation_size(c.oid) / current_setting('block_size')::int > 4 * c.relpages
        ORDER BY c.relname
    LOOP
        EXECUTE format('ANALYZE %s', grown);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION learn_tables FROM PUBLIC;
GRANT EXECUTE ON FUNCTION learn_tables TO dubnium_memory;
