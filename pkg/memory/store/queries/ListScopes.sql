SELECT path FROM scopes WHERE path > $1 ORDER BY path LIMIT $2
