-- Lists of runs stay quick in long journals.

-- Which runs began in an hour: the first and the last of their numbers, so that a time is a range of numbers in any
-- index. Where runs of the hour are gone, the range is wider than it has to be.
CREATE TABLE run_hours (
  hour TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  first_seq BIGINT NOT NULL,
  last_seq BIGINT NOT NULL
);
INSERT INTO run_hours (hour, first_seq, last_seq)
  SELECT substr(created_at, 1, 13), min(seq), max(seq) FROM runs GROUP BY substr(created_at, 1, 13);
CREATE FUNCTION note_hour_of_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO run_hours AS h (hour, first_seq, last_seq) VALUES (substr(NEW.created_at, 1, 13), NEW.seq, NEW.seq)
    ON CONFLICT (hour) DO UPDATE SET first_seq = least(h.first_seq, excluded.first_seq),
      last_seq = greatest(h.last_seq, excluded.last_seq);
  RETURN NULL;
END $$;
CREATE TRIGGER runs_hour AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION note_hour_of_run();

-- Words of one user's runs.
DROP INDEX run_texts_words;
CREATE INDEX run_texts_found ON run_texts USING gin (to_tsvector('simple', holder || ' ' || words));

-- What one user's runs are found by.
ALTER TABLE run_labels ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE run_labels SET user_id = (SELECT r.user_id FROM runs r WHERE r.seq = run_labels.run_seq);
CREATE INDEX run_labels_of_user ON run_labels (user_id, label, run_seq);
CREATE INDEX runs_of_model ON runs (user_id, model, seq);
CREATE INDEX runs_of_digest ON runs (user_id, workspace_digest, seq);
CREATE INDEX runs_of_profile ON runs (user_id, profile_digest, seq) WHERE profile_digest IS NOT NULL;
CREATE INDEX runs_of_liked ON runs (user_id, seq) WHERE up_count > 0;
CREATE INDEX runs_of_disliked ON runs (user_id, seq) WHERE down_count > 0;
