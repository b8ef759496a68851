UPDATE memories SET previous_text = $3, next_text = $4, around_text = $5 WHERE scope_id = $1 AND id = $2
