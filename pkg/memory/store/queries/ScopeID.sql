SELECT id FROM scopes WHERE path = $1
