-- The demo application: the schools that a user wants to look at.
CREATE TABLE shortlist (
  user_id TEXT NOT NULL,
  school_id TEXT NOT NULL,
  note TEXT,
  added_at TEXT NOT NULL,
  PRIMARY KEY (user_id, school_id)
) WITHOUT ROWID;
