-- Opens the transaction to scopes. Its statements are of one shape whatever they are asked, and to plan one anew
-- takes longer than to run it.
SELECT set_config('dubnium.scopes', $1, true), set_config('plan_cache_mode', 'force_generic_plan', true)
