-- Who did what, each entry chained to the one before by its hash. Entries hold no user's id: a
-- subject is a random text, and which user it stands for is kept beside.
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  actor_type TEXT NOT NULL,
  actor_subject TEXT NOT NULL,
  actor_role TEXT,
  act TEXT NOT NULL,
  subject TEXT,
  object_type TEXT,
  object_id TEXT,
  details TEXT NOT NULL,
  trace_id TEXT,
  prev TEXT NOT NULL,
  hash TEXT NOT NULL
);
CREATE INDEX audit_of_subject ON audit (subject, seq);
CREATE INDEX audit_of_actor ON audit (actor_subject, at);
CREATE INDEX audit_by_act ON audit (act, seq);

CREATE TABLE audit_subjects (
  user_id TEXT NOT NULL PRIMARY KEY,
  subject TEXT NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE audit_reasons (
  seq INTEGER PRIMARY KEY REFERENCES audit (seq),
  reason TEXT NOT NULL
);

CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_subjects_no_update BEFORE UPDATE ON audit_subjects
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_subjects_no_delete BEFORE DELETE ON audit_subjects
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_reasons_no_update BEFORE UPDATE ON audit_reasons
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_reasons_no_delete BEFORE DELETE ON audit_reasons
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

-- INSERT OR REPLACE deletes without asking the triggers above.
CREATE TRIGGER audit_in_order BEFORE INSERT ON audit
  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_subjects_once BEFORE INSERT ON audit_subjects
  WHEN EXISTS (SELECT 1 FROM audit_subjects WHERE user_id = NEW.user_id OR subject = NEW.subject)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_reasons_with_entry BEFORE INSERT ON audit_reasons
  WHEN NEW.seq IS NOT (SELECT max(seq) FROM audit) OR EXISTS (SELECT 1 FROM audit_reasons WHERE seq = NEW.seq)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
