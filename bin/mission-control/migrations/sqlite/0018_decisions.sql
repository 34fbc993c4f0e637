-- A person's word: questions beside approvals, changed arguments, who decided, and the rule that was made.
ALTER TABLE tool_requests ADD COLUMN kind TEXT NOT NULL DEFAULT 'approval';
ALTER TABLE tool_requests ADD COLUMN parameters TEXT;
ALTER TABLE tool_requests ADD COLUMN asked_by TEXT;
ALTER TABLE tool_requests ADD COLUMN expires_at TEXT;
ALTER TABLE tool_requests ADD COLUMN edited TEXT;
ALTER TABLE tool_requests ADD COLUMN answer TEXT;
ALTER TABLE tool_requests ADD COLUMN decided_by TEXT;
ALTER TABLE tool_requests ADD COLUMN decision_body TEXT;
ALTER TABLE tool_requests ADD COLUMN rule_id TEXT;
CREATE INDEX tool_requests_due ON tool_requests (expires_at) WHERE status = 'pending' AND kind = 'question';
CREATE INDEX tool_requests_asked ON tool_requests (task_id) WHERE status = 'pending' AND kind = 'question';
CREATE INDEX tool_requests_of_tool ON tool_requests (user_id, session_key, tool, seq);

-- The question that a message asks, or answers.
ALTER TABLE messages ADD COLUMN tool_request_id TEXT;

-- Calls that need no approval for a while.
CREATE TABLE approval_rules (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  tool TEXT NOT NULL,
  fits TEXT,
  expires_at TEXT NOT NULL,
  max_uses BIGINT,
  uses BIGINT NOT NULL DEFAULT 0,
  author TEXT NOT NULL,
  author_id TEXT,
  parameters_sha256 TEXT,
  tool_request_id TEXT,
  created_at TEXT NOT NULL,
  revoked_at TEXT,
  author_lost_at TEXT
);
CREATE INDEX approval_rules_of_user ON approval_rules (user_id, seq);
CREATE INDEX approval_rules_by ON approval_rules (author_id) WHERE author_id <> user_id;
CREATE INDEX approval_rules_age ON approval_rules (expires_at);

-- Each call that was made under a rule, once for its key.
CREATE TABLE approval_rule_uses (
  rule_seq BIGINT NOT NULL REFERENCES approval_rules (seq),
  idempotency_key TEXT NOT NULL,
  run_key TEXT NOT NULL,
  body TEXT NOT NULL,
  uses BIGINT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (rule_seq, idempotency_key)
);
