-- When each agent of a user last woke.
CREATE TABLE wakes (
  user_id TEXT COLLATE "C" NOT NULL,
  role TEXT COLLATE "C" NOT NULL,
  last_at TEXT COLLATE "C" NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (user_id, role)
);

-- The queue asks for each session whether something older of it is leased.
CREATE INDEX notifications_of_session ON notifications (session_key, seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL;
