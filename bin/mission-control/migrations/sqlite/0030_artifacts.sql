-- Long results of tools, whole, until they expire: text, so that it is exported as it is.
CREATE TABLE run_artifacts (
  run_seq INTEGER NOT NULL REFERENCES runs (seq),
  sha256 TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  content TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  PRIMARY KEY (run_seq, sha256)
);
CREATE INDEX run_artifacts_expiry ON run_artifacts (expires_at);
