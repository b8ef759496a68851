-- What was ever written to a scope's memories, their vectors and their artifacts leaves a row here, in the same
-- transaction. Who has read the scope can so tell from a handful of rows that nothing has changed since, whoever writes.
-- No row is ever updated: writers to one scope do not wait for each other.
CREATE TABLE scope_changes (
    scope_id int NOT NULL,
    id       bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (scope_id, id)
);
SELECT wall('scope_changes');

CREATE FUNCTION note_changes() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO scope_changes (scope_id) SELECT DISTINCT scope_id FROM changed;
    RETURN NULL;
END
$$;

-- watch notes the changes of a table that has a scope_id.
CREATE FUNCTION watch(target regclass) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER added AFTER INSERT ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changes()', target);
    EXECUTE format('CREATE TRIGGER updated AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changes()', target);
    EXECUTE format('CREATE TRIGGER removed AFTER DELETE ON %s REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION note_changes()', target);
END
$$;
REVOKE EXECUTE ON FUNCTION watch FROM PUBLIC;

SELECT watch(oid::regclass) FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND (relname IN ('memories', 'memory_artifacts', 'artifacts') OR relname ~ '^embedding_[1-9]');

CREATE OR REPLACE FUNCTION create_embedding_table(model int) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    dim int := (SELECT dimensions FROM embedding_models WHERE id = model);
BEGIN
    EXECUTE format('CREATE TABLE embedding_%s (
        scope_id       int NOT NULL,
        memory_id      uuid NOT NULL,
        memory_version int NOT NULL,
        vec            halfvec(%s) NOT NULL,
        PRIMARY KEY (scope_id, memory_id),
        FOREIGN KEY (scope_id, memory_id) REFERENCES memories ON DELETE CASCADE
    )', model, dim);
    PERFORM wall(('embedding_' || model)::regclass), watch(('embedding_' || model)::regclass);
END
$$;

-- An index that is made of many vectors takes several times as long when they do not fit into memory meanwhile: each
-- takes its values and some 1000 bytes of links.
CREATE OR REPLACE FUNCTION index_embedding_table(model int) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '64MB' AS $$
DECLARE
    megabytes bigint := (
        SELECT (greatest(c.reltuples, 0) * (2 * m.dimensions + 1000) / 1048576)::bigint
        FROM embedding_models m JOIN pg_class c ON c.oid = to_regclass('embedding_' || m.id) WHERE m.id = model
    );
BEGIN
    PERFORM set_config('maintenance_work_mem', least(greatest(megabytes, 512), 4096) || 'MB', true);
    EXECUTE format('CREATE INDEX IF NOT EXISTS embedding_%1$s_near ON embedding_%1$s USING hnsw (vec halfvec_cosine_ops)', model);
    UPDATE embedding_models SET indexed = true WHERE id = model;
END
$$;
