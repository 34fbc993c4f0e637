-- Who did what, each entry chained to the one before by its hash. Entries hold no user's id: a
-- subject is a random text, and which user it stands for is kept beside.
CREATE TABLE audit (
  seq BIGINT PRIMARY KEY,
  at TEXT COLLATE "C" NOT NULL,
  actor_type TEXT COLLATE "C" NOT NULL,
  actor_subject TEXT COLLATE "C" NOT NULL,
  actor_role TEXT COLLATE "C",
  act TEXT COLLATE "C" NOT NULL,
  subject TEXT COLLATE "C",
  object_type TEXT COLLATE "C",
  object_id TEXT COLLATE "C",
  details TEXT COLLATE "C" NOT NULL,
  trace_id TEXT COLLATE "C",
  prev TEXT COLLATE "C" NOT NULL,
  hash TEXT COLLATE "C" NOT NULL
);
CREATE INDEX audit_of_subject ON audit (subject, seq);
CREATE INDEX audit_of_actor ON audit (actor_subject, at);
CREATE INDEX audit_by_act ON audit (act, seq);

CREATE TABLE audit_subjects (
  user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  subject TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE audit_reasons (
  seq BIGINT PRIMARY KEY REFERENCES audit (seq),
  reason TEXT COLLATE "C" NOT NULL
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_subjects
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_reasons
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
