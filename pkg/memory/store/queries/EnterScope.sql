-- Opens the transaction to scopes, as the role that row security binds: a connection may have been taken back to its
-- login, by RESET ROLE or a pool of connections in between. Its statements are of one shape whatever they are asked,
-- and to plan one anew takes longer than to run it. None is worth processes of its own: to start them takes longer too.
SELECT set_config('role', $2, true), set_config('dubnium.scopes', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true),
       set_config('max_parallel_workers_per_gather', '0', true)
