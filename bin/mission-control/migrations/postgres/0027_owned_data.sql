-- Users whose data was erased, by a hash: agent tokens from before are refused. `is_scrubbed` tells whether
-- the bytes are gone from the file, too.
CREATE TABLE erased_users (
  who TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  erased_at TEXT COLLATE "C" NOT NULL,
  is_scrubbed BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX erased_users_age ON erased_users (erased_at);

-- Runs that an erasure has cancelled while they were open, by a hash: whoever works on one learns that it is over.
CREATE TABLE erased_runs (
  who TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  erased_at TEXT COLLATE "C" NOT NULL
);

-- Erasures that have begun and are not complete.
CREATE TABLE erasures (
  user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  messages TEXT COLLATE "C" NOT NULL,
  begun_at TEXT COLLATE "C" NOT NULL
);

-- Up to which entry the audit log has expired.
CREATE TABLE audit_expired (
  through BIGINT NOT NULL PRIMARY KEY
);

-- What of the log may go: who a subject is and what a person wrote, while that user's data is erased; and the oldest
-- entries, once it is noted that they have expired.
DROP TRIGGER audit_append_only ON audit;
DROP TRIGGER audit_append_only ON audit_subjects;
DROP TRIGGER audit_append_only ON audit_reasons;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit_subjects
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR TRUNCATE ON audit_reasons
  FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

CREATE FUNCTION audit_entry_may_go() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE floor BIGINT;
BEGIN
  EXECUTE format('SELECT coalesce(max(through), 0) FROM %I.audit_expired', TG_TABLE_SCHEMA) INTO floor;
  IF OLD.seq > floor THEN
    RAISE EXCEPTION 'the audit log is append-only';
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER audit_may_go BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_entry_may_go();

CREATE FUNCTION audit_subject_may_go() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE erased BIGINT;
BEGIN
  EXECUTE format('SELECT count(*) FROM %I.erasures WHERE user_id = $1', TG_TABLE_SCHEMA)
    INTO erased USING OLD.user_id;
  IF erased = 0 THEN
    RAISE EXCEPTION 'the audit log is append-only';
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER audit_may_go BEFORE DELETE ON audit_subjects FOR EACH ROW EXECUTE FUNCTION audit_subject_may_go();

CREATE FUNCTION audit_reason_may_go() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE floor BIGINT; erased BIGINT;
BEGIN
  EXECUTE format('SELECT coalesce(max(through), 0) FROM %I.audit_expired', TG_TABLE_SCHEMA) INTO floor;
  IF OLD.seq <= floor THEN
    RETURN OLD;
  END IF;
  EXECUTE format('SELECT count(*) FROM %1$I.audit a JOIN %1$I.audit_subjects s '
    'ON s.subject IN (a.subject, a.actor_subject) JOIN %1$I.erasures e ON e.user_id = s.user_id WHERE a.seq = $1',
    TG_TABLE_SCHEMA) INTO erased USING OLD.seq;
  IF erased = 0 THEN
    RAISE EXCEPTION 'the audit log is append-only';
  END IF;
  RETURN OLD;
END $$;
CREATE TRIGGER audit_may_go BEFORE DELETE ON audit_reasons FOR EACH ROW EXECUTE FUNCTION audit_reason_may_go();

-- What hangs on a task is found when the task goes.
CREATE INDEX documents_of_task ON documents (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX notifications_of_task ON notifications (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX tool_requests_of_task ON tool_requests (task_id);
CREATE INDEX session_leases_of_task ON session_leases (task_id);
CREATE INDEX memories_of_task ON memories (task_id) WHERE task_id IS NOT NULL;

-- What is a user's, and what names one, is found when that user is erased.
CREATE INDEX session_leases_of_user ON session_leases (user_id);
CREATE INDEX reservations_of_user ON reservations (user_id);
CREATE INDEX budget_scopes_of_user ON budget_scopes (user_id) WHERE user_id <> '';
CREATE INDEX budget_warnings_of_user ON budget_warnings (user_id) WHERE user_id <> '';
CREATE INDEX tool_requests_of_decider ON tool_requests (decided_by) WHERE decided_by IS NOT NULL;
CREATE INDEX approval_rules_of_author ON approval_rules (author);
CREATE INDEX approval_rules_of_author_id ON approval_rules (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX schedules_of_creator ON schedules (created_by);
CREATE INDEX memories_of_author ON memories (author_id) WHERE author_type = 'person';
