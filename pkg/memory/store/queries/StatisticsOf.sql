SELECT format('SELECT tsv FROM memories WHERE scope_id = %s AND status = %L AND validation_status <> %L', $1::int, 'live', 'rejected')
