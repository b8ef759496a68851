-- The login of the service's user, who owns the database, and the roles that
-- it takes on; see the first migration.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dubnium-memory') THEN
        CREATE ROLE "dubnium-memory" LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dubnium_memory') THEN
        CREATE ROLE dubnium_memory NOINHERIT;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dubnium_memory_upkeep') THEN
        CREATE ROLE dubnium_memory_upkeep;
    END IF;
    GRANT dubnium_memory_upkeep TO dubnium_memory;
    GRANT dubnium_memory TO "dubnium-memory";
END
$$
