SELECT m.memory_type, m.validation_status, m.status, count(*) FROM memories m GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
