-- What is remembered from run to run. `owner` is whose it is in one text, `folded` what two texts that say the same have
-- in common, `holder` and `words` what is searched.
CREATE TABLE memories (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  scope TEXT NOT NULL,
  owner TEXT NOT NULL,
  user_id TEXT,
  task_id TEXT,
  tenant_id TEXT,
  text TEXT NOT NULL,
  folded TEXT NOT NULL,
  holder TEXT NOT NULL,
  words TEXT NOT NULL,
  source TEXT,
  expires_at TEXT,
  author_type TEXT NOT NULL,
  author_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE UNIQUE INDEX memories_said ON memories (owner, folded);
CREATE INDEX memories_of_user ON memories (user_id, seq) WHERE user_id IS NOT NULL;
CREATE INDEX memories_of_tenant ON memories (tenant_id, seq) WHERE tenant_id IS NOT NULL;
CREATE INDEX memories_expiring ON memories (expires_at) WHERE expires_at IS NOT NULL;

CREATE VIRTUAL TABLE memories_fts USING fts5(
  holder, words, content='memories', content_rowid='seq', tokenize='porter unicode61'
);
-- What is deleted leaves no word in the index.
INSERT INTO memories_fts (memories_fts, rank) VALUES ('secure-delete', 1);
CREATE TRIGGER memories_fts_insert AFTER INSERT ON memories BEGIN
  INSERT INTO memories_fts (rowid, holder, words) VALUES (new.seq, new.holder, new.words);
END;
CREATE TRIGGER memories_fts_delete AFTER DELETE ON memories BEGIN
  INSERT INTO memories_fts (memories_fts, rowid, holder, words) VALUES ('delete', old.seq, old.holder, old.words);
END;
CREATE TRIGGER memories_fts_update AFTER UPDATE OF holder, words ON memories BEGIN
  INSERT INTO memories_fts (memories_fts, rowid, holder, words) VALUES ('delete', old.seq, old.holder, old.words);
  INSERT INTO memories_fts (rowid, holder, words) VALUES (new.seq, new.holder, new.words);
END;
