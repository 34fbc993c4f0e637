-- The journal of runs. A run's key is a hash over its user, so that it is one user's only.
CREATE TABLE runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run_key TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  status TEXT NOT NULL,
  session_key TEXT,
  task_id TEXT REFERENCES tasks (id),
  workspace_digest TEXT,
  extra TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE INDEX runs_of_user ON runs (user_id, seq);
CREATE INDEX runs_of_task ON runs (task_id, seq);

CREATE TABLE run_steps (
  run_key TEXT NOT NULL REFERENCES runs (run_key),
  step_index INTEGER NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (run_key, step_index)
) WITHOUT ROWID;
