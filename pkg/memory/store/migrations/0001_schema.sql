-- The memory service's tables. Everything that belongs to a scope has its
-- scope_id, which leads its key: an id means something in its scope only.
--
-- Roles: the owner of the tables migrates. dubnium_memory, as which the service
-- speaks, sees the scopes that its transaction has named and can change no
-- table. dubnium_memory_upkeep, which it takes on for work across scopes
-- (embedding, expiry, statistics), sees all of them.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['dubnium_memory', 'dubnium_memory_upkeep'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database's migration was quicker: roles are the server's
        END;
    END LOOP;
    IF NOT pg_has_role('dubnium_memory', 'dubnium_memory_upkeep', 'MEMBER') THEN
        GRANT dubnium_memory_upkeep TO dubnium_memory;
    END IF;
    -- With one login for all, the service takes its role on.
    BEGIN
        IF NOT pg_has_role('dubnium_memory', 'MEMBER') THEN
            GRANT dubnium_memory TO CURRENT_USER;
        END IF;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- it has a login of its own
    END;
END
$$;

CREATE EXTENSION IF NOT EXISTS vector;

-- Text search ---------------------------------------------------------------

-- The words of a day, such as 7 May 2023. Its month is English whatever the
-- server speaks, so it may call itself immutable.
CREATE FUNCTION day_words(at timestamptz) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT to_char(at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') $$;

-- What a memory says itself.
CREATE FUNCTION own_terms(summary text, speaker text, occurred_at timestamptz) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT to_tsvector('pg_catalog.english', summary || ' ' || speaker || coalesce(' ' || day_words(occurred_at), '')) $$;

-- How many words it has there.
CREATE FUNCTION term_positions(terms tsvector) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT coalesce(sum(cardinality(t.positions)), 0)::int FROM unnest(terms) t $$;

-- The keys of the index over all scopes: each word with its scope, so that the
-- entries of a scope are found without looking at another's.
CREATE FUNCTION scoped_terms(scope_id int, terms tsvector) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT array_agg(scope_id || ':' || lexeme) FROM unnest(tsvector_to_array(terms)) lexeme $$;

-- The words of a query, each as a query of its own, and as one for memories that
-- say it themselves: the first 64 of them.
CREATE FUNCTION question_terms(question text) RETURNS TABLE (lexeme text, query tsquery, own tsquery)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
        SELECT t.lexeme, t.quoted::tsquery, (t.quoted || ':A')::tsquery
        FROM (
            SELECT u.lexeme, u.positions[1] AS place,
                   '''' || replace(replace(u.lexeme, '\', '\\'), '''', '''''') || '''' AS quoted
            FROM unnest(to_tsvector('pg_catalog.english', question)) u
        ) t
        ORDER BY t.place, t.lexeme
        LIMIT 64
    $$;

-- How much a word tells that df of documents have.
CREATE FUNCTION term_weight(df bigint, documents bigint) RETURNS float8
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT ln(1 + (greatest(documents - df, 0) + 0.5) / (df + 0.5)) $$;

-- Scopes ---------------------------------------------------------------------

-- The scopes of the transaction.
CREATE FUNCTION current_scopes() RETURNS int[]
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('dubnium.scopes', true), '')::int[] $$;

CREATE TABLE scopes (
    id         int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path       text NOT NULL UNIQUE CHECK (char_length(path) <= 256 AND path ~ '^(personal|project|session|agent|workflow):.'),
    kind       text GENERATED ALWAYS AS (split_part(path, ':', 1)) STORED,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE sessions (
    scope_id   int NOT NULL REFERENCES scopes,
    id         uuid NOT NULL,
    title      text NOT NULL DEFAULT '' CHECK (char_length(title) <= 256),
    metadata   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 131072),
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    PRIMARY KEY (scope_id, id)
);
CREATE INDEX ON sessions (scope_id, created_at, id);

CREATE TABLE tasks (
    scope_id   int NOT NULL REFERENCES scopes,
    id         uuid NOT NULL,
    version    int NOT NULL DEFAULT 1 CHECK (version > 0),
    session_id uuid,
    title      text NOT NULL DEFAULT '' CHECK (char_length(title) <= 256),
    status     text NOT NULL CHECK (status IN ('queued', 'running', 'blocked', 'done', 'failed', 'cancelled')),
    state      jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(state) = 'object' AND octet_length(state::text) <= 131072),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, id),
    FOREIGN KEY (scope_id, session_id) REFERENCES sessions
);
CREATE INDEX ON tasks (scope_id, created_at, id);

CREATE TABLE task_checkpoints (
    scope_id   int NOT NULL,
    task_id    uuid NOT NULL,
    sequence   int NOT NULL CHECK (sequence > 0),
    status     text NOT NULL,
    state      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, task_id, sequence),
    FOREIGN KEY (scope_id, task_id) REFERENCES tasks ON DELETE CASCADE
);

-- Memories -------------------------------------------------------------------

CREATE TABLE memories (
    scope_id          int NOT NULL REFERENCES scopes,
    id                uuid NOT NULL,
    version           int NOT NULL DEFAULT 1 CHECK (version > 0),
    memory_type       text NOT NULL CHECK (memory_type IN ('working', 'episodic', 'semantic')),
    summary           text NOT NULL CHECK (summary <> '' AND char_length(summary) <= 8000),
    content_sha256    bytea NOT NULL CHECK (octet_length(content_sha256) = 32),
    session_id        uuid,
    task_id           uuid,
    -- What it is a part of, and its place there, from 1.
    context_id        uuid GENERATED ALWAYS AS (coalesce(session_id, task_id)) STORED,
    ordinal           bigint NOT NULL DEFAULT 0 CHECK (ordinal >= 0),
    source            text NOT NULL CHECK (source <> '' AND char_length(source) <= 128),
    speaker           text NOT NULL DEFAULT '' CHECK (char_length(speaker) <= 128),
    occurred_at       timestamptz,
    importance        float8 NOT NULL DEFAULT 0 CHECK (importance BETWEEN 0 AND 1),
    confidence        float8 NOT NULL DEFAULT 0 CHECK (confidence BETWEEN 0 AND 1),
    sensitivity       text NOT NULL DEFAULT 'internal' CHECK (sensitivity <> '' AND char_length(sensitivity) <= 64),
    validation_status text NOT NULL DEFAULT 'unverified' CHECK (validation_status IN ('unverified', 'verified', 'rejected')),
    status            text NOT NULL DEFAULT 'live' CHECK (status IN ('live', 'superseded', 'expired')),
    status_reason     text NOT NULL DEFAULT '' CHECK (char_length(status_reason) <= 128),
    superseded_by     uuid,
    ttl               timestamptz,
    flags             text[] NOT NULL DEFAULT '{}',
    redactions        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(redactions) = 'array'),
    provenance        jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(provenance) = 'object' AND octet_length(provenance::text) <= 131072),
    metadata          jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object' AND octet_length(metadata::text) <= 131072),
    -- The neighbours of its session or task, of the same sensitivity, shortened.
    previous_text     text NOT NULL DEFAULT '',
    next_text         text NOT NULL DEFAULT '',
    around_text       text NOT NULL DEFAULT '',
    own_length        int GENERATED ALWAYS AS (term_positions(own_terms(summary, speaker, occurred_at))) STORED,
    tsv               tsvector GENERATED ALWAYS AS (
                          setweight(own_terms(summary, speaker, occurred_at), 'A')
                          || setweight(to_tsvector('pg_catalog.english', previous_text), 'B')
                          || setweight(to_tsvector('pg_catalog.english', next_text), 'C')
                          || setweight(to_tsvector('pg_catalog.english', around_text), 'D')
                      ) STORED,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, id),
    FOREIGN KEY (scope_id, session_id) REFERENCES sessions,
    FOREIGN KEY (scope_id, task_id) REFERENCES tasks,
    FOREIGN KEY (scope_id, superseded_by) REFERENCES memories ON DELETE SET NULL (superseded_by),
    CHECK ((context_id IS NULL) = (ordinal = 0))
) WITH (toast_tuple_target = 4080);

-- The same words in the same place are one memory.
CREATE UNIQUE INDEX memories_content ON memories (scope_id, memory_type, content_sha256)
    WHERE status = 'live' AND validation_status <> 'rejected';
CREATE UNIQUE INDEX memories_place ON memories (scope_id, context_id, ordinal) WHERE context_id IS NOT NULL;
CREATE INDEX memories_page ON memories (scope_id, created_at, id);
CREATE INDEX memories_ttl ON memories (ttl) WHERE ttl IS NOT NULL AND status = 'live';
CREATE INDEX memories_superseded ON memories (scope_id, superseded_by) WHERE superseded_by IS NOT NULL;
-- With a list of pending entries a write is quicker and every read slower.
CREATE INDEX memories_terms ON memories USING gin (scoped_terms(scope_id, tsv)) WITH (fastupdate = off)
    WHERE status = 'live' AND validation_status <> 'rejected';

-- Bands of a minhash of the words: memories that share one may be near duplicates.
CREATE TABLE memory_bands (
    scope_id  int NOT NULL,
    band      int NOT NULL,
    memory_id uuid NOT NULL,
    PRIMARY KEY (scope_id, band, memory_id),
    FOREIGN KEY (scope_id, memory_id) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX ON memory_bands (memory_id, scope_id);

CREATE TABLE artifacts (
    scope_id      int NOT NULL REFERENCES scopes,
    id            uuid NOT NULL,
    sha256        text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    storage_uri   text NOT NULL CHECK (storage_uri <> '' AND char_length(storage_uri) <= 2048),
    artifact_type text NOT NULL CHECK (artifact_type <> '' AND char_length(artifact_type) <= 128),
    media_type    text NOT NULL DEFAULT '' CHECK (char_length(media_type) <= 128),
    name          text NOT NULL DEFAULT '' CHECK (char_length(name) <= 256),
    size_bytes    bigint NOT NULL DEFAULT 0 CHECK (size_bytes >= 0),
    sensitivity   text NOT NULL DEFAULT 'internal' CHECK (sensitivity <> '' AND char_length(sensitivity) <= 64),
    provenance    jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(provenance) = 'object' AND octet_length(provenance::text) <= 131072),
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, id),
    UNIQUE (scope_id, sha256)
);
CREATE INDEX ON artifacts (scope_id, created_at, id);

CREATE TABLE memory_artifacts (
    scope_id    int NOT NULL,
    memory_id   uuid NOT NULL,
    position    int NOT NULL CHECK (position > 0),
    artifact_id uuid NOT NULL,
    PRIMARY KEY (scope_id, memory_id, position),
    UNIQUE (scope_id, memory_id, artifact_id),
    FOREIGN KEY (scope_id, memory_id) REFERENCES memories ON DELETE CASCADE,
    FOREIGN KEY (scope_id, artifact_id) REFERENCES artifacts
);
CREATE INDEX ON memory_artifacts (scope_id, artifact_id);

-- Retrieval events and lineage -------------------------------------------------

CREATE TABLE retrieval_events (
    scope_id              int NOT NULL REFERENCES scopes,
    id                    uuid NOT NULL,
    event_type            text NOT NULL CHECK (event_type IN ('retrieval', 'audit')),
    query                 text NOT NULL CHECK (char_length(query) <= 16000),
    returned_artifact_ids uuid[] NOT NULL DEFAULT '{}',
    metadata              jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    caller                jsonb NOT NULL CHECK (jsonb_typeof(caller) = 'object'),
    model                 text NOT NULL DEFAULT '',
    configuration         text NOT NULL DEFAULT '',
    as_of                 timestamptz NOT NULL,
    latency_ms            float8 NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, id)
);
CREATE UNIQUE INDEX ON retrieval_events (id);
CREATE INDEX ON retrieval_events (scope_id, created_at, id);
CREATE INDEX ON retrieval_events (created_at, id);

-- What was returned outlives the memory that it names.
CREATE TABLE retrieval_hits (
    scope_id       int NOT NULL,
    event_id       uuid NOT NULL,
    rank           int NOT NULL CHECK (rank > 0),
    memory_id      uuid NOT NULL,
    memory_version int NOT NULL,
    score          float8 NOT NULL,
    parts          jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (scope_id, event_id, rank),
    FOREIGN KEY (scope_id, event_id) REFERENCES retrieval_events ON DELETE CASCADE
);

CREATE TABLE provenance (
    scope_id           int NOT NULL REFERENCES scopes,
    id                 uuid NOT NULL,
    memory_id          uuid,
    artifact_id        uuid,
    retrieval_event_id uuid,
    source_identity    text NOT NULL CHECK (source_identity <> '' AND char_length(source_identity) <= 256),
    source_event       jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(source_event) = 'object' AND octet_length(source_event::text) <= 131072),
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope_id, id),
    FOREIGN KEY (scope_id, memory_id) REFERENCES memories ON DELETE CASCADE,
    FOREIGN KEY (scope_id, artifact_id) REFERENCES artifacts ON DELETE CASCADE,
    FOREIGN KEY (scope_id, retrieval_event_id) REFERENCES retrieval_events ON DELETE CASCADE,
    CHECK (num_nonnulls(memory_id, artifact_id, retrieval_event_id) = 1)
);
CREATE INDEX ON provenance (scope_id, memory_id) WHERE memory_id IS NOT NULL;
CREATE INDEX ON provenance (scope_id, artifact_id) WHERE artifact_id IS NOT NULL;
CREATE INDEX ON provenance (scope_id, retrieval_event_id) WHERE retrieval_event_id IS NOT NULL;

-- Statistics -------------------------------------------------------------------

-- Of large scopes only: a small one is counted by the query itself.
CREATE TABLE scope_statistics (
    scope_id    int PRIMARY KEY REFERENCES scopes,
    documents   bigint NOT NULL,
    own_length  float8 NOT NULL, -- average words of a memory itself
    computed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE scope_terms (
    scope_id int NOT NULL REFERENCES scopes,
    lexeme   text NOT NULL,
    df       bigint NOT NULL, -- memories that say it themselves
    matches  bigint NOT NULL, -- memories that say it, or a neighbour does
    PRIMARY KEY (scope_id, lexeme)
);

-- Embeddings and the outbox ------------------------------------------------------

CREATE TABLE embedding_models (
    id              int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL UNIQUE CHECK (name <> '' AND char_length(name) <= 128),
    provider        text NOT NULL CHECK (provider <> '' AND char_length(provider) <= 64),
    dimensions      int NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
    document_prefix text NOT NULL DEFAULT '' CHECK (char_length(document_prefix) <= 256),
    query_prefix    text NOT NULL DEFAULT '' CHECK (char_length(query_prefix) <= 256),
    weight          float8 NOT NULL DEFAULT 0.2 CHECK (weight BETWEEN 0 AND 10),
    state           text NOT NULL CHECK (state IN ('building', 'active', 'retired')),
    indexed         boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX embedding_models_active ON embedding_models ((true)) WHERE state = 'active';

-- The vectors of no model: what a query names when no model takes part.
CREATE TABLE embedding_0 (
    scope_id       int NOT NULL,
    memory_id      uuid NOT NULL,
    memory_version int NOT NULL,
    vec            halfvec(1) NOT NULL,
    PRIMARY KEY (scope_id, memory_id),
    CHECK (false)
);

CREATE TABLE outbox (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id       int NOT NULL REFERENCES embedding_models,
    scope_id       int NOT NULL,
    memory_id      uuid NOT NULL,
    memory_version int NOT NULL,
    attempts       int NOT NULL DEFAULT 0,
    due_at         timestamptz NOT NULL DEFAULT now(),
    handed_at      timestamptz,
    claimed_by     text,
    claimed_until  timestamptz,
    dead           boolean NOT NULL DEFAULT false,
    last_error     text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_id, scope_id, memory_id),
    FOREIGN KEY (scope_id, memory_id) REFERENCES memories ON DELETE CASCADE
);
CREATE INDEX ON outbox (model_id, id) WHERE NOT dead;
CREATE INDEX ON outbox (scope_id, memory_id);
CREATE INDEX ON outbox (id) WHERE dead;

CREATE TABLE idempotency_keys (
    caller         text NOT NULL CHECK (char_length(caller) <= 128),
    key            text NOT NULL CHECK (key <> '' AND char_length(key) <= 256),
    request_sha256 bytea NOT NULL CHECK (octet_length(request_sha256) = 32),
    response       jsonb NOT NULL DEFAULT 'null',
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX ON idempotency_keys (created_at);

-- The second wall ----------------------------------------------------------------

-- wall puts a table that has a scope_id behind row security. The scopes are
-- read once a query, not once a row.
CREATE FUNCTION wall(target regclass) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY scope ON %s TO dubnium_memory USING (scope_id = ANY ((SELECT current_scopes())::int[]))', target);
    EXECUTE format('CREATE POLICY upkeep ON %s TO dubnium_memory_upkeep USING (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO dubnium_memory, dubnium_memory_upkeep', target);
END
$$;

SELECT wall(t::regclass) FROM unnest(ARRAY[
    'sessions', 'tasks', 'task_checkpoints', 'memories', 'memory_bands', 'artifacts', 'memory_artifacts',
    'retrieval_events', 'retrieval_hits', 'provenance', 'scope_statistics', 'scope_terms', 'embedding_0', 'outbox'
]) t;
-- What has no scope: names of scopes, the register, keys of callers.
GRANT SELECT, INSERT ON scopes TO dubnium_memory;
GRANT SELECT ON scopes TO dubnium_memory_upkeep;
GRANT SELECT ON embedding_models TO dubnium_memory;
GRANT SELECT, INSERT, UPDATE ON embedding_models TO dubnium_memory_upkeep;
GRANT SELECT, INSERT, UPDATE ON idempotency_keys TO dubnium_memory;
GRANT SELECT, DELETE ON idempotency_keys TO dubnium_memory_upkeep;

-- A memory as the service returns it. It sees what its reader may see.
CREATE VIEW memory_rows WITH (security_invoker = true) AS
    SELECT m.scope_id, m.id, m.version, m.memory_type, m.summary, s.path, m.session_id, m.task_id, m.ordinal,
           m.source, m.speaker, m.occurred_at, m.importance, m.confidence, m.sensitivity, m.validation_status,
           m.status, m.status_reason, m.superseded_by, m.ttl, m.flags, m.redactions, m.provenance, m.metadata,
           coalesce((
               SELECT jsonb_agg(to_jsonb(a) - 'scope_id' || jsonb_build_object('scope', s.path) ORDER BY l.position)
               FROM memory_artifacts l JOIN artifacts a ON a.scope_id = l.scope_id AND a.id = l.artifact_id
               WHERE l.scope_id = m.scope_id AND l.memory_id = m.id
           ), '[]') AS artifacts,
           m.created_at, m.updated_at
    FROM memories m JOIN scopes s ON s.id = m.scope_id;
GRANT SELECT ON memory_rows TO dubnium_memory, dubnium_memory_upkeep;

-- What needs the owner's rights ----------------------------------------------------

-- The table of a model's vectors, one a memory. Its index comes when it is
-- worth it: with one, a vector takes tens of times longer to write.
CREATE FUNCTION create_embedding_table(model int) RETURNS void
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
    PERFORM wall(('embedding_' || model)::regclass);
END
$$;

CREATE FUNCTION index_embedding_table(model int) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET maintenance_work_mem = '512MB' AS $$
BEGIN
    EXECUTE format('CREATE INDEX IF NOT EXISTS embedding_%1$s_near ON embedding_%1$s USING hnsw (vec halfvec_cosine_ops)', model);
    UPDATE embedding_models SET indexed = true WHERE id = model;
END
$$;

-- The candidates of a large scope. A condition on words can use no index from
-- behind row security, so this looks from before it, after it has asked for the
-- same permission. It returns ids; what they name is read behind the wall.
--
-- Words are taken rarest first, until their memories would be more than budget.
-- Where the rarest one alone has more, a memory has to have the two rarest.
CREATE FUNCTION wide_candidates(
    scope int, allowed text[], verified_only boolean, unflagged_only boolean, types text[], session uuid, at timestamptz,
    question text, budget bigint, most int
) RETURNS TABLE (id uuid)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    total   bigint;
    keys    text[];
    pair    text[];
    queries tsquery[];
    weights float8[];
BEGIN
    IF NOT coalesce(scope = ANY (current_scopes()), false) THEN
        RETURN;
    END IF;
    SELECT s.documents INTO total FROM scope_statistics s WHERE s.scope_id = scope;
    SELECT array_agg(scope || ':' || r.lexeme) FILTER (WHERE r.place = 1 OR r.cumulated <= budget),
           array_agg(scope || ':' || r.lexeme) FILTER (WHERE r.place <= 2 AND r.rarest > budget),
           array_agg(r.query), array_agg(term_weight(r.df, coalesce(total, 1000)))
    INTO keys, pair, queries, weights
    FROM (
        SELECT q.lexeme, q.query, coalesce(t.df, 0) AS df,
               sum(coalesce(t.matches, 0)) OVER rarity AS cumulated,
               row_number() OVER rarity AS place,
               min(coalesce(t.matches, 0)) OVER () AS rarest
        FROM question_terms(question) q LEFT JOIN scope_terms t ON t.scope_id = scope AND t.lexeme = q.lexeme
        WINDOW rarity AS (ORDER BY coalesce(t.matches, 0), q.lexeme)
    ) r;
    RETURN QUERY
        SELECT m.id
        FROM memories m
        WHERE m.scope_id = scope
          AND m.status = 'live' AND m.validation_status <> 'rejected'
          AND scoped_terms(m.scope_id, m.tsv) && keys
          AND (pair IS NULL OR scoped_terms(m.scope_id, m.tsv) @> pair)
          AND m.sensitivity = ANY (allowed)
          AND (NOT verified_only OR m.validation_status = 'verified')
          AND (NOT unflagged_only OR m.flags = '{}')
          AND (types IS NULL OR m.memory_type = ANY (types))
          AND (session IS NULL OR m.session_id = session)
          AND (m.ttl IS NULL OR m.ttl > at)
        ORDER BY (
            SELECT sum(w * ts_rank('{0.15, 0.2, 0.4, 1}', m.tsv, q)) FROM unnest(queries, weights) AS u(q, w)
        ) DESC, m.id
        LIMIT most;
END
$$;

REVOKE EXECUTE ON FUNCTION wall, create_embedding_table, index_embedding_table, wide_candidates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_embedding_table, index_embedding_table TO dubnium_memory_upkeep;
GRANT EXECUTE ON FUNCTION wide_candidates TO dubnium_memory;

GRANT SELECT ON schema_migrations TO dubnium_memory;
