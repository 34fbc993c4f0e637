-- What nobody has leased, and when leases end: neither grows with the other, so that what can be
-- handed out is found at once in a queue of which most is leased.
DROP INDEX notifications_waiting;
CREATE INDEX notifications_fresh ON notifications (seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL;
CREATE INDEX notifications_lease_ends ON notifications (leased_until)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NOT NULL;
