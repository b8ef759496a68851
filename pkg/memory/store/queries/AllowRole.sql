-- From Postgres 16 on, who made a role without being a superuser may give it to others, and is a member of it, but may
-- take it on only when that was granted too: one login that does everything grants it to itself.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        IF NOT pg_has_role('dubnium_memory', 'SET') THEN
            GRANT dubnium_memory TO CURRENT_USER;
        END IF;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL; -- the service has a login of its own
END
$$
