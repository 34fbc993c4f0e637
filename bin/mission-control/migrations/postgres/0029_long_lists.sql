-- Lists of runs stay quick in long journals. Runs cannot be written until this has ended, but be read: what stops
-- readers comes last, and nobody comes between the hours' first filling and their trigger.
LOCK TABLE runs IN SHARE ROW EXCLUSIVE MODE;

-- What one user's runs are found by, and their words.
CREATE INDEX run_texts_found ON run_texts USING gin (to_tsvector('simple', holder || ' ' || words));
CREATE INDEX runs_of_model ON runs (user_id, model, seq);
CREATE INDEX runs_of_digest ON runs (user_id, workspace_digest, seq);
CREATE INDEX runs_of_profile ON runs (user_id, profile_digest, seq) WHERE profile_digest IS NOT NULL;
CREATE INDEX runs_of_liked ON runs (user_id, seq) WHERE up_count > 0;
CREATE INDEX runs_of_disliked ON runs (user_id, seq) WHERE down_count > 0;

-- Which runs began in an hour: the first and the last of their numbers, so that a time is a range of numbers in any
-- index. Where runs of the hour are gone, the range is wider than it has to be. Each connection has rows of its own:
-- a row is locked until the end of the transaction that wrote it.
CREATE TABLE run_hours (
  hour TEXT COLLATE "C" NOT NULL,
  connection INTEGER NOT NULL DEFAULT 0,
  first_seq BIGINT NOT NULL,
  last_seq BIGINT NOT NULL,
  PRIMARY KEY (hour, connection)
);
INSERT INTO run_hours (hour, first_seq, last_seq)
  SELECT substr(created_at, 1, 13), min(seq), max(seq) FROM runs GROUP BY substr(created_at, 1, 13);
CREATE FUNCTION note_hour_of_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO run_hours AS h (hour, connection, first_seq, last_seq)
    VALUES (substr(NEW.created_at, 1, 13), pg_backend_pid(), NEW.seq, NEW.seq)
    ON CONFLICT (hour, connection) DO UPDATE SET first_seq = least(h.first_seq, excluded.first_seq),
      last_seq = greatest(h.last_seq, excluded.last_seq);
  RETURN NULL;
END $$;
CREATE TRIGGER runs_hour AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION note_hour_of_run();

-- Whose run it is that has a label; programs of the version before do not say it.
ALTER TABLE run_labels ADD COLUMN user_id TEXT COLLATE "C" NOT NULL DEFAULT '';
UPDATE run_labels SET user_id = (SELECT r.user_id FROM runs r WHERE r.seq = run_labels.run_seq);
CREATE INDEX run_labels_of_user ON run_labels (user_id, label, run_seq);
CREATE FUNCTION note_user_of_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  SELECT r.user_id INTO STRICT NEW.user_id FROM runs r WHERE r.seq = NEW.run_seq;
  RETURN NEW;
END $$;
CREATE TRIGGER run_labels_user BEFORE INSERT ON run_labels FOR EACH ROW WHEN (NEW.user_id = '')
  EXECUTE FUNCTION note_user_of_label();
DROP INDEX run_texts_words;
