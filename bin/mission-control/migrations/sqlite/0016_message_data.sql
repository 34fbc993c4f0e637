-- The content of a message as JSON, where it is the typed result of a run.
ALTER TABLE messages ADD COLUMN data TEXT;
