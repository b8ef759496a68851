-- What the task is, before it changes; its row is held from here on. The version counts its states from 1.
INSERT INTO task_checkpoints (scope_id, task_id, sequence, status, state)
SELECT t.scope_id, t.id, t.version, t.status, t.state
FROM tasks t WHERE t.scope_id = $1 AND t.id = $2
FOR UPDATE
