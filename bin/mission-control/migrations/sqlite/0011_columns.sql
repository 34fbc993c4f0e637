-- The page shows the newest tasks of each status, however many there are.
CREATE INDEX tasks_by_status ON tasks (user_id, status, seq);
CREATE INDEX tasks_by_completion ON tasks (user_id, completed_at) WHERE completed_at IS NOT NULL;
