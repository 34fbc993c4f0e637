-- What agents may spend, and what they spent, in billionths of a US dollar: sums stay exact.
CREATE TABLE budgets (
  user_id TEXT NOT NULL PRIMARY KEY,
  limit_nanos INTEGER NOT NULL,
  period TEXT NOT NULL,
  updated_at TEXT NOT NULL
);

CREATE TABLE reservations (
  id TEXT NOT NULL PRIMARY KEY,
  user_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  estimate_nanos INTEGER NOT NULL,
  expires_at TEXT NOT NULL,
  settled_at TEXT,
  created_at TEXT NOT NULL
);
CREATE INDEX reservations_open ON reservations (user_id, expires_at) WHERE settled_at IS NULL;

CREATE TABLE usage (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  reservation_id TEXT,
  role TEXT NOT NULL,
  model TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL,
  cost_nanos INTEGER NOT NULL,
  estimated INTEGER NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX usage_of_user ON usage (user_id, created_at);
