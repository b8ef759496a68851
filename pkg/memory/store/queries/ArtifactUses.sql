-- In any scope.
SELECT EXISTS (SELECT FROM artifacts WHERE sha256 = $1)
