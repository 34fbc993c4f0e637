-- Long results of tools, whole, until they expire: text, so that it is exported as it is.
CREATE TABLE run_artifacts (
  run_seq INTEGER NOT NULL REFERENCES runs (seq),
  user_id TEXT NOT NULL,
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  PRIMARY KEY (run_seq, sha256)
);
CREATE INDEX run_artifacts_expiry ON run_artifacts (expires_at);
-- How much a user has is read here alone.
CREATE INDEX run_artifacts_of_user ON run_artifacts (user_id, expires_at, size);
