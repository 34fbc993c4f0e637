-- Whose turn it is in a session on a task. The newest of each is kept, because its fence grows on.
CREATE TABLE session_leases (
  id TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks (id),
  fence INTEGER NOT NULL,
  holder TEXT NOT NULL,
  ttl_secs INTEGER NOT NULL,
  expires_at TEXT NOT NULL,
  freed_at TEXT,
  created_at TEXT NOT NULL,
  UNIQUE (session_key, task_id, fence)
);
