SELECT set_config('dubnium.scopes', $1, true)
