-- A question is answered with names of what it found, and what they say is fetched where it is not at hand: in 28 bytes a
-- memory's id, which version of its row that is, and the similarity of its vector to the question's, no number where it
-- has none.
CREATE FUNCTION finding(id uuid, version xid, cosine float8) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT uuid_send(id) || xidsend(version) || float8send(coalesce(cosine, 'NaN')) $$;

-- The candidates of a large scope. A condition on words can use no index from
-- behind row security, so this looks from before it, after it has asked for the
-- same permission. It names versions of memories; what they say is read behind
-- the wall.
--
-- Words are taken rarest first, until their memories would be more than budget.
-- Where the rarest one alone has more, a memory has to have the two rarest.
--
-- The words in the index are those of the scope. That the scope itself is asked
-- for is a wall, and a sum, lest Postgres read all that the scope has in an
-- index of its own to combine it with those words.
DROP FUNCTION wide_candidates;
CREATE FUNCTION wide_candidates(
    scope int, allowed text[], verified_only boolean, unflagged_only boolean, types text[], session uuid, at timestamptz,
    question text, budget bigint, most int
) RETURNS TABLE (id uuid, version xid)
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
        SELECT m.id, m.xmin
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
REVOKE EXECUTE ON FUNCTION wide_candidates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION wide_candidates TO dubnium_memory;
