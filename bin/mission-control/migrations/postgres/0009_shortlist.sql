-- The demo application: the schools that a user wants to look at.
CREATE TABLE shortlist (
  user_id TEXT COLLATE "C" NOT NULL,
  school_id TEXT COLLATE "C" NOT NULL,
  note TEXT COLLATE "C",
  added_at TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (user_id, school_id)
);
