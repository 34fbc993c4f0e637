-- What an agent said with its last heartbeat that had nothing to report.
ALTER TABLE wakes ADD COLUMN note TEXT COLLATE "C";
ALTER TABLE wakes ADD COLUMN note_at TEXT COLLATE "C";
