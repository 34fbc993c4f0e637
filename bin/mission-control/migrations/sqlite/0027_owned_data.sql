-- Users whose data was erased, by a hash: agent tokens from before are refused. `is_scrubbed` tells whether
-- the bytes are gone from the file, too.
CREATE TABLE erased_users (
  who TEXT NOT NULL PRIMARY KEY,
  erased_at TEXT NOT NULL,
  is_scrubbed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX erased_users_age ON erased_users (erased_at);

-- Runs that an erasure has cancelled while they were open, by a hash: whoever works on one learns that it is over.
CREATE TABLE erased_runs (
  who TEXT NOT NULL PRIMARY KEY,
  erased_at TEXT NOT NULL
) WITHOUT ROWID;

-- Erasures that have begun and are not complete.
CREATE TABLE erasures (
  user_id TEXT NOT NULL PRIMARY KEY,
  messages TEXT NOT NULL,
  begun_at TEXT NOT NULL
) WITHOUT ROWID;

-- Up to which entry the audit log has expired.
CREATE TABLE audit_expired (
  through INTEGER NOT NULL PRIMARY KEY
);

-- What of the log may go: who a subject is and what a person wrote, while that user's data is erased; and the oldest
-- entries, once it is noted that they have expired.
DROP TRIGGER audit_no_delete;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
  WHEN OLD.seq > (SELECT coalesce(max(through), 0) FROM audit_expired)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
DROP TRIGGER audit_subjects_no_delete;
CREATE TRIGGER audit_subjects_no_delete BEFORE DELETE ON audit_subjects
  WHEN NOT EXISTS (SELECT 1 FROM erasures e WHERE e.user_id = OLD.user_id)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;
DROP TRIGGER audit_reasons_no_delete;
CREATE TRIGGER audit_reasons_no_delete BEFORE DELETE ON audit_reasons
  WHEN OLD.seq > (SELECT coalesce(max(through), 0) FROM audit_expired) AND NOT EXISTS (
    SELECT 1 FROM audit a JOIN audit_subjects s ON s.subject IN (a.subject, a.actor_subject)
    JOIN erasures e ON e.user_id = s.user_id WHERE a.seq = OLD.seq)
  BEGIN SELECT raise(ABORT, 'the audit log is append-only'); END;

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
