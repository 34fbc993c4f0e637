-- Lists of runs stay quick in long journals.

-- Which runs began in an hour: the first and the last of their numbers, so that a time is a range of numbers in any
-- index. Where runs of the hour are gone, the range is wider than it has to be.
CREATE TABLE run_hours (
  hour TEXT NOT NULL PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO run_hours (hour, first_seq, last_seq)
  SELECT substr(created_at, 1, 13), min(seq), max(seq) FROM runs GROUP BY substr(created_at, 1, 13);
CREATE TRIGGER runs_hour AFTER INSERT ON runs BEGIN
  INSERT INTO run_hours (hour, first_seq, last_seq) VALUES (substr(new.created_at, 1, 13), new.seq, new.seq)
    ON CONFLICT (hour) DO UPDATE SET first_seq = min(first_seq, excluded.first_seq),
      last_seq = max(last_seq, excluded.last_seq);
END;

-- What one user's runs are found by.
ALTER TABLE run_labels ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
UPDATE run_labels SET user_id = (SELECT r.user_id FROM runs r WHERE r.seq = run_labels.run_seq);
CREATE INDEX run_labels_of_user ON run_labels (user_id, label, run_seq);
-- Programs of the version before do not say whose run it is.
CREATE TRIGGER run_labels_user AFTER INSERT ON run_labels WHEN new.user_id = '' BEGIN
  UPDATE run_labels SET user_id = (SELECT r.user_id FROM runs r WHERE r.seq = new.run_seq)
    WHERE label = new.label AND run_seq = new.run_seq;
END;
CREATE INDEX runs_of_model ON runs (user_id, model, seq);
CREATE INDEX runs_of_digest ON runs (user_id, workspace_digest, seq);
CREATE INDEX runs_of_profile ON runs (user_id, profile_digest, seq) WHERE profile_digest IS NOT NULL;
CREATE INDEX runs_of_liked ON runs (user_id, seq) WHERE up_count > 0;
CREATE INDEX runs_of_disliked ON runs (user_id, seq) WHERE down_count > 0;
