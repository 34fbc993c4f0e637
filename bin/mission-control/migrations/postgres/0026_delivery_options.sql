-- How urgent a notification is (0 high, 1 normal, 2 low), and the turn of its session: the most urgent of what waits
-- there. `parked` is what waits for its user's quiet hours to end, so that it is in nobody's way.
ALTER TABLE notifications ADD COLUMN priority BIGINT NOT NULL DEFAULT 1;
ALTER TABLE notifications ADD COLUMN turn BIGINT NOT NULL DEFAULT 1;
ALTER TABLE notifications ADD COLUMN parked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE notifications ADD COLUMN collapse_key TEXT COLLATE "C";
ALTER TABLE notifications ADD COLUMN collapsed BIGINT NOT NULL DEFAULT 0;

DROP INDEX notifications_fresh;
CREATE INDEX notifications_fresh ON notifications (turn, created_at, seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL AND parked = 0;
-- The session that a new one joins. What asks for it says `turn >= 0`: all else, such as what is leased of a session, has
-- a smaller index.
CREATE INDEX notifications_of_session ON notifications (session_key, seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND turn >= 0;
-- These are empty where nobody uses the options.
CREATE INDEX notifications_parked ON notifications (user_id)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND parked = 1;
CREATE INDEX notifications_raised ON notifications (session_key)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND turn < priority;
CREATE INDEX notifications_collapsing ON notifications (session_key, collapse_key)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL AND collapse_key IS NOT NULL;
CREATE INDEX notifications_dead ON notifications (user_id, dead_at) WHERE dead_at IS NOT NULL;

-- Quiet hours: what was said, and the period that is on or comes next.
CREATE TABLE quiet_hours (
  user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  timezone TEXT COLLATE "C" NOT NULL,
  from_time TEXT COLLATE "C" NOT NULL,
  to_time TEXT COLLATE "C" NOT NULL,
  begins_at TEXT COLLATE "C" NOT NULL,
  ends_at TEXT COLLATE "C" NOT NULL,
  updated_at TEXT COLLATE "C" NOT NULL
);
CREATE INDEX quiet_hours_ending ON quiet_hours (ends_at);

-- When a user was last told of dead letters, and when the next telling is due, where there is something to tell.
CREATE TABLE dead_letter_digests (
  user_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  sent_at TEXT COLLATE "C" NOT NULL,
  due_at TEXT COLLATE "C"
);
CREATE INDEX dead_letter_digests_due ON dead_letter_digests (due_at) WHERE due_at IS NOT NULL;
