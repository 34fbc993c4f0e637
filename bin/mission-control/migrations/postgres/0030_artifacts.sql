-- Long results of tools, whole, until they expire: text, so that it is exported as it is.
CREATE TABLE run_artifacts (
  run_seq BIGINT NOT NULL REFERENCES runs (seq),
  user_id TEXT COLLATE "C" NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  size BIGINT NOT NULL,
  media_type TEXT COLLATE "C" NOT NULL,
  content TEXT NOT NULL,
  created_at TEXT COLLATE "C" NOT NULL,
  expires_at TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_seq, sha256)
);
CREATE INDEX run_artifacts_expiry ON run_artifacts (expires_at);
-- How much a user has is read here alone.
CREATE INDEX run_artifacts_of_user ON run_artifacts (user_id, expires_at, size);
