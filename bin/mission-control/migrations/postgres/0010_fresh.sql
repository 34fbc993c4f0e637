-- What nobody has leased. What is leased is found by the index of that: it is as small as the work
-- in flight, and one index less makes each claim cheaper.
DROP INDEX notifications_waiting;
CREATE INDEX notifications_fresh ON notifications (seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL;
