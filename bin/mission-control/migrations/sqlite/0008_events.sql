-- What happened, in order: written together with the change itself, so that none is told without
-- the other. Ids are never used twice, also after old events were dropped.
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at TEXT NOT NULL
);
CREATE INDEX events_of_user ON events (user_id, id);
