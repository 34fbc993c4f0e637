-- For each notification that could be handed out the queue asks whether something older of its
-- session is leased. Only what is leased is in the index, which keeps it as small as the work in
-- flight however long the queue is.
DROP INDEX notifications_of_session;
CREATE INDEX notifications_leased ON notifications (session_key, seq)
  WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NOT NULL;
