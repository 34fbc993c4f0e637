-- A run's key, and an idempotency key, are one role's: no role can take a key before another one.
-- Runs that were begun by a step, without a session, have no role yet.
CREATE TABLE runs_of_roles (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run_key TEXT NOT NULL,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  status TEXT NOT NULL,
  session_key TEXT,
  task_id TEXT REFERENCES tasks (id),
  workspace_digest TEXT,
  extra TEXT,
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (user_id, run_key, role)
);
INSERT INTO runs_of_roles (seq, run_key, user_id, role, status, session_key, task_id, workspace_digest, extra,
    cancel_requested, created_at, updated_at)
  SELECT seq, run_key, user_id, coalesce(substr(session_key, length(user_id) + 7), ''), status, session_key, task_id,
    workspace_digest, extra, cancel_requested, created_at, updated_at FROM runs;

CREATE TABLE steps_of_runs (
  run_seq INTEGER NOT NULL REFERENCES runs_of_roles (seq),
  step_index INTEGER NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (run_seq, step_index)
) WITHOUT ROWID;
INSERT INTO steps_of_runs (run_seq, step_index, kind, payload, created_at)
  SELECT r.seq, s.step_index, s.kind, s.payload, s.created_at FROM run_steps s JOIN runs r ON r.run_key = s.run_key;

DROP TABLE run_steps;
DROP TABLE runs;
ALTER TABLE runs_of_roles RENAME TO runs;
ALTER TABLE steps_of_runs RENAME TO run_steps;
CREATE INDEX runs_of_user ON runs (user_id, seq);
CREATE INDEX runs_of_task ON runs (task_id, seq);

CREATE TABLE idempotency_of_roles (
  user_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  key TEXT NOT NULL,
  role TEXT NOT NULL,
  body TEXT NOT NULL,
  response TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (user_id, endpoint, key, role)
);
INSERT INTO idempotency_of_roles (user_id, endpoint, key, role, body, response, created_at)
  SELECT user_id, endpoint, key, '', body, response, created_at FROM idempotency;
DROP TABLE idempotency;
ALTER TABLE idempotency_of_roles RENAME TO idempotency;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- What happens to runs and tool requests concerns one role; all else all of the user's. Of which role
-- the older ones are is not known, so that no agent hears of them again.
ALTER TABLE events ADD COLUMN role TEXT;
UPDATE events SET role = '' WHERE kind LIKE 'run.%' OR kind LIKE 'tool_request.%';
