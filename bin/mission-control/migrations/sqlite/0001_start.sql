CREATE TABLE tasks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  title TEXT NOT NULL,
  description TEXT,
  status TEXT NOT NULL,
  metadata TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  completed_at TEXT
);
CREATE INDEX tasks_of_user ON tasks (user_id, seq);
CREATE INDEX tasks_by_title ON tasks (user_id, title);

CREATE TABLE messages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks (id),
  content TEXT NOT NULL,
  actor_type TEXT NOT NULL,
  agent_role TEXT,
  actor_id TEXT,
  attachments TEXT,
  idempotency_key TEXT,
  created_at TEXT NOT NULL
);
CREATE INDEX messages_of_task ON messages (task_id, seq);
CREATE INDEX messages_by_key ON messages (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE documents (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  task_id TEXT REFERENCES tasks (id),
  title TEXT NOT NULL,
  content TEXT NOT NULL,
  doc_type TEXT,
  created_at TEXT NOT NULL
);
CREATE INDEX documents_of_user ON documents (user_id, seq);

CREATE TABLE notifications (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  session_key TEXT NOT NULL,
  content TEXT NOT NULL,
  task_id TEXT REFERENCES tasks (id),
  created_at TEXT NOT NULL,
  read_at TEXT,
  delivered_at TEXT,
  leased_until TEXT,
  attempts INTEGER NOT NULL DEFAULT 0,
  error TEXT,
  dead_at TEXT
);
CREATE INDEX notifications_of_user ON notifications (user_id, seq);
CREATE INDEX notifications_waiting ON notifications (seq) WHERE delivered_at IS NULL AND dead_at IS NULL;

CREATE TABLE idempotency (
  user_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  key TEXT NOT NULL,
  body TEXT NOT NULL,
  response TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (user_id, endpoint, key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE heartbeats (
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  slot TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (user_id, role, slot)
);
