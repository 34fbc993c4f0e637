-- Files of users. One that no message names is gone a day after it was last put; one that is not whole is
-- still arriving.
CREATE TABLE files (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  name TEXT NOT NULL,
  media_type TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  is_whole INTEGER NOT NULL,
  is_attached INTEGER NOT NULL DEFAULT 0,
  put_at TEXT NOT NULL
);
CREATE INDEX files_of_user ON files (user_id, sha256);
CREATE INDEX files_unreferenced ON files (put_at) WHERE is_attached = 0;

-- Their bytes, in parts, so that no more than one of them is in memory at a time.
CREATE TABLE file_parts (
  file_seq INTEGER NOT NULL REFERENCES files (seq),
  part INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (file_seq, part)
);
