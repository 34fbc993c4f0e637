-- The runs that a run has asked for.
CREATE INDEX runs_by_parent ON runs (user_id, parent_run_key) WHERE parent_run_key IS NOT NULL;
