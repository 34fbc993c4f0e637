-- Tool calls that wait for a person.
CREATE TABLE tool_requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks (id),
  run_key TEXT NOT NULL,
  session_key TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  reason TEXT,
  status TEXT NOT NULL,
  note TEXT,
  decision_key TEXT,
  created_at TEXT NOT NULL,
  decided_at TEXT
);
CREATE INDEX tool_requests_of_user ON tool_requests (user_id, seq);
CREATE INDEX tool_requests_of_run ON tool_requests (run_key);

-- A decision is told to the session, with the run that it lets go on.
ALTER TABLE notifications ADD COLUMN run_key TEXT;
ALTER TABLE notifications ADD COLUMN metadata TEXT;
