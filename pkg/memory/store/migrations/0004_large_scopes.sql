-- Every statement asks for its scope, and behind the wall for the scopes of the transaction as well. Postgres takes the
-- two for independent of each other, so that a scope seems to be some hundred times smaller than it is, and it reads the
-- half million memories of one where a key would do. As a sum the wall's own condition is no reason to choose an index;
-- it holds as before.
CREATE OR REPLACE FUNCTION wall(target regclass) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY scope ON %s TO dubnium_memory USING (scope_id + 0 = ANY ((SELECT current_scopes())::int[]))', target);
    EXECUTE format('CREATE POLICY upkeep ON %s TO dubnium_memory_upkeep USING (true)', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO dubnium_memory, dubnium_memory_upkeep', target);
END
$$;
DO $$
DECLARE
    walled regclass;
BEGIN
    FOR walled IN
        SELECT polrelid::regclass FROM pg_policy WHERE polname = 'scope' AND polrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    LOOP
        EXECUTE format('ALTER POLICY scope ON %s USING (scope_id + 0 = ANY ((SELECT current_scopes())::int[]))', walled);
    END LOOP;
END
$$;

-- The candidates of a large scope. A condition on words can use no index from
-- behind row security, so this looks from before it, after it has asked for the
-- same permission. It returns ids; what they name is read behind the wall.
--
-- Words are taken rarest first, until their memories would be more than budget.
-- Where the rarest one alone has more, a memory has to have the two rarest.
--
-- The words in the index are those of the scope. That the scope itself is asked
-- for is a wall, and a sum, lest Postgres read all that the scope has in an
-- index of its own to combine it with those words.
CREATE OR REPLACE FUNCTION wide_candidates(
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
        WHERE m.scope_id + 0 = scope
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

-- The parts of a large scope that are read whole, since its other indexes would pass over most of what they find: the
-- memories that somebody has judged, a session's (memories_place), a task's.
CREATE INDEX memories_judged ON memories (scope_id, validation_status, id) WHERE validation_status <> 'unverified';
CREATE INDEX memories_task ON memories (scope_id, task_id) WHERE task_id IS NOT NULL;
