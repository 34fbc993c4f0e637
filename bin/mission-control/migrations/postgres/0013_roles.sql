SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s';
-- A run's key, and an idempotency key, are one role's: no role can take a key before another one.
-- Runs that were begun by a step, without a session, have no role yet.
ALTER TABLE run_steps DROP CONSTRAINT run_steps_run_key_fkey;
ALTER TABLE runs ADD COLUMN role TEXT COLLATE "C";
UPDATE runs SET role = coalesce(substr(session_key, length(user_id) + 7), '');
ALTER TABLE runs ALTER COLUMN role SET NOT NULL;
ALTER TABLE run_steps ADD COLUMN run_seq BIGINT;
UPDATE run_steps s SET run_seq = r.seq FROM runs r WHERE r.run_key = s.run_key;
ALTER TABLE run_steps DROP CONSTRAINT run_steps_pkey;
ALTER TABLE run_steps DROP COLUMN run_key;
ALTER TABLE run_steps ADD PRIMARY KEY (run_seq, step_index);
ALTER TABLE run_steps ADD FOREIGN KEY (run_seq) REFERENCES runs (seq);
ALTER TABLE runs DROP CONSTRAINT runs_run_key_key;
ALTER TABLE runs ADD UNIQUE (user_id, run_key, role);

ALTER TABLE idempotency ADD COLUMN role TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE idempotency DROP CONSTRAINT idempotency_pkey;
ALTER TABLE idempotency ADD PRIMARY KEY (user_id, endpoint, key, role);

-- What happens to runs and tool requests concerns one role; all else all of the user's. Of which role
-- the older ones are is not known, so that no agent hears of them again.
ALTER TABLE events ADD COLUMN role TEXT COLLATE "C";
UPDATE events SET role = '' WHERE kind LIKE 'run.%' OR kind LIKE 'tool_request.%';
