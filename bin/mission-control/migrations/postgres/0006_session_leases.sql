-- Whose turn it is in a session on a task. The newest of each is kept, because its fence grows on.
CREATE TABLE session_leases (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  user_id TEXT COLLATE "C" NOT NULL,
  session_key TEXT COLLATE "C" NOT NULL,
  task_id TEXT COLLATE "C" NOT NULL REFERENCES tasks (id),
  fence BIGINT NOT NULL,
  holder TEXT COLLATE "C" NOT NULL,
  ttl_secs BIGINT NOT NULL,
  expires_at TEXT COLLATE "C" NOT NULL,
  freed_at TEXT COLLATE "C",
  created_at TEXT COLLATE "C" NOT NULL,
  UNIQUE (session_key, task_id, fence)
);
