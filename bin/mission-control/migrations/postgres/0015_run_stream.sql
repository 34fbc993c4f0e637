-- Runs that go on without their caller, at whichever instance, and what they tell while they work.
ALTER TABLE runs ADD COLUMN detached BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN parent_run_key TEXT COLLATE "C";
-- The newest session lease under which it was written: the instance that works on it holds this one.
ALTER TABLE runs ADD COLUMN lease_id TEXT COLLATE "C";
-- Until when whoever takes it up again has it alone, how often it was given out since its last step,
-- and how many steps it had then.
ALTER TABLE runs ADD COLUMN orphan_until TEXT COLLATE "C";
ALTER TABLE runs ADD COLUMN orphan_attempts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN orphan_steps BIGINT NOT NULL DEFAULT 0;
CREATE INDEX runs_going_on ON runs (seq) WHERE detached = 1 AND status IN ('running', 'interrupted');
CREATE INDEX runs_of_session ON runs (session_key, task_id, status);

-- What a run has told: one row for each batch, whose events have the ids from first_id to last_id.
CREATE TABLE run_deltas (
  run_seq BIGINT NOT NULL REFERENCES runs (seq),
  first_id BIGINT NOT NULL,
  last_id BIGINT NOT NULL,
  events TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (run_seq, first_id)
);

-- Where that stands: the newest id, how many bytes there are, when it was written, from when on the next
-- batch may come (milliseconds since 1970), and whether some of it is gone.
CREATE TABLE run_told (
  run_seq BIGINT NOT NULL PRIMARY KEY REFERENCES runs (seq),
  last_id BIGINT NOT NULL DEFAULT 0,
  bytes BIGINT NOT NULL DEFAULT 0,
  paced_ms BIGINT NOT NULL DEFAULT 0,
  expired BIGINT NOT NULL DEFAULT 0,
  written_at TEXT COLLATE "C" NOT NULL
);
CREATE INDEX run_told_age ON run_told (written_at) WHERE bytes > 0;
