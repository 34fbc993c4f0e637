-- What people and agents have scheduled.
CREATE TABLE schedules (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  task_id TEXT,
  at_time TEXT,
  local_at TEXT,
  cron TEXT,
  timezone TEXT,
  until_at TEXT,
  max_runs BIGINT,
  catch_up TEXT NOT NULL,
  status TEXT NOT NULL,
  next_at TEXT,
  handled_to TEXT NOT NULL,
  last_slot TEXT,
  runs BIGINT NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL
);
CREATE INDEX schedules_of_user ON schedules (user_id, seq);
CREATE INDEX schedules_due ON schedules (next_at, seq) WHERE status = 'active';

-- Each slot that was made, once, and its notification.
CREATE TABLE schedule_slots (
  schedule_id TEXT NOT NULL,
  slot TEXT NOT NULL,
  user_id TEXT NOT NULL,
  notification_id TEXT NOT NULL,
  created_at TEXT NOT NULL,
  PRIMARY KEY (schedule_id, slot)
);
CREATE INDEX schedule_slots_of_user ON schedule_slots (user_id);
CREATE INDEX schedule_slots_age ON schedule_slots (created_at);
