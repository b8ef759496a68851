-- As EnterScope.sql. The statements of a search are of one shape whatever they are asked, and planning one anew takes
-- longer than running it.
SELECT set_config('dubnium.scopes', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true)
