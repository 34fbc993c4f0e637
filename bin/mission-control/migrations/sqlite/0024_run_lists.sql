-- What lists of runs show, are searched and ordered by.
ALTER TABLE runs ADD COLUMN model TEXT;
ALTER TABLE runs ADD COLUMN provider TEXT;
ALTER TABLE runs ADD COLUMN message_id TEXT;
ALTER TABLE runs ADD COLUMN error_code TEXT;
ALTER TABLE runs ADD COLUMN used TEXT;
ALTER TABLE runs ADD COLUMN cost_usd REAL;
ALTER TABLE runs ADD COLUMN ended_at TEXT;
ALTER TABLE runs ADD COLUMN duration_ms INTEGER;
ALTER TABLE runs ADD COLUMN step_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN up_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN down_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN labels TEXT;
UPDATE runs SET step_count = (SELECT count(*) FROM run_steps s WHERE s.run_seq = runs.seq);
UPDATE runs SET message_id = json_extract(extra, '$.message_id'), error_code = json_extract(extra, '$.error'),
  used = json_extract(extra, '$.usage'),
  cost_usd = CASE WHEN json_type(extra, '$.cost.totalCost') IN ('integer', 'real')
    THEN json_extract(extra, '$.cost.totalCost') END
  WHERE json_valid(extra);
UPDATE runs SET ended_at = updated_at WHERE status IN ('completed', 'failed', 'cancelled', 'interrupted');
CREATE INDEX runs_of_role ON runs (user_id, role, seq);
CREATE INDEX runs_of_status ON runs (user_id, status, seq);
CREATE INDEX runs_all_of_role ON runs (role, seq);
CREATE INDEX runs_all_of_status ON runs (status, seq);
CREATE INDEX runs_all_of_model ON runs (model, seq);
CREATE INDEX runs_all_of_digest ON runs (workspace_digest, seq);
CREATE INDEX runs_all_of_profile ON runs (profile_digest, seq) WHERE profile_digest IS NOT NULL;
CREATE INDEX runs_begun ON runs (created_at);
CREATE INDEX runs_of_message ON runs (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX runs_liked ON runs (seq) WHERE up_count > 0;
CREATE INDEX runs_disliked ON runs (seq) WHERE down_count > 0;

-- The beginnings of message and reply, and their words.
CREATE TABLE run_texts (
  run_seq INTEGER PRIMARY KEY REFERENCES runs (seq) ON DELETE CASCADE,
  asked TEXT,
  reply TEXT,
  holder TEXT NOT NULL,
  words TEXT NOT NULL
);

-- What people think of runs: one for each run and author.
CREATE TABLE feedback (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  run_seq INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
  user_id TEXT NOT NULL,
  author_type TEXT NOT NULL,
  author_id TEXT NOT NULL,
  message_id TEXT,
  rating TEXT,
  labels TEXT NOT NULL,
  comment TEXT,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (run_seq, author_type, author_id)
);
CREATE INDEX feedback_of_user ON feedback (user_id, seq);

CREATE TABLE run_labels (
  label TEXT NOT NULL,
  run_seq INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
  PRIMARY KEY (label, run_seq)
);
CREATE INDEX run_labels_of_run ON run_labels (run_seq);

CREATE VIRTUAL TABLE run_texts_fts USING fts5(
  holder, words, content='run_texts', content_rowid='run_seq', tokenize='unicode61'
);
-- What is deleted leaves no word in the index.
INSERT INTO run_texts_fts (run_texts_fts, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER run_texts_fts_insert AFTER INSERT ON run_texts BEGIN
  INSERT INTO run_texts_fts (rowid, holder, words) VALUES (new.run_seq, new.holder, new.words);
END;
CREATE TRIGGER run_texts_fts_delete AFTER DELETE ON run_texts BEGIN
  INSERT INTO run_texts_fts (run_texts_fts, rowid, holder, words) VALUES ('delete', old.run_seq, old.holder, old.words);
END;
CREATE TRIGGER run_texts_fts_update AFTER UPDATE OF holder, words ON run_texts BEGIN
  INSERT INTO run_texts_fts (run_texts_fts, rowid, holder, words) VALUES ('delete', old.run_seq, old.holder, old.words);
  INSERT INTO run_texts_fts (rowid, holder, words) VALUES (new.run_seq, new.holder, new.words);
END;
-- A run by its key alone, for services.
CREATE INDEX runs_by_key ON runs (run_key, seq);
