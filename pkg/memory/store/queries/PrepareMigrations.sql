-- Two programs may come here at once; CREATE TABLE IF NOT EXISTS alone would fail for one of them.
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(7263518409124);
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version    int PRIMARY KEY,
        name       text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
END
$$
