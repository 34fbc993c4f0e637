-- Budgets of tenants, of roles and of combinations; a part of the scope that is not named is empty. Those of a
-- user alone stay in their table. What was spent is counted with each booking, for the period that began then.
CREATE TABLE budget_scopes (
  tenant_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  limit_nanos INTEGER NOT NULL,
  period TEXT NOT NULL,
  warn_at REAL,
  counted_from TEXT NOT NULL,
  spent_nanos INTEGER NOT NULL,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (tenant_id, user_id, role)
);
ALTER TABLE budgets ADD COLUMN warn_at REAL;

-- Of which limit and period it was told that it is nearly spent.
CREATE TABLE budget_warnings (
  tenant_id TEXT NOT NULL,
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  period TEXT NOT NULL,
  period_end TEXT NOT NULL,
  limit_nanos INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, user_id, role, period, period_end, limit_nanos)
);

-- For whom a call is made, as the profile said then.
ALTER TABLE reservations ADD COLUMN role TEXT;
ALTER TABLE reservations ADD COLUMN tenant_id TEXT;
CREATE INDEX reservations_of_role ON reservations (role, expires_at) WHERE settled_at IS NULL AND role IS NOT NULL;
CREATE INDEX reservations_of_tenant ON reservations (tenant_id, expires_at)
  WHERE settled_at IS NULL AND tenant_id IS NOT NULL;
ALTER TABLE usage ADD COLUMN tenant_id TEXT;
UPDATE usage SET tenant_id = (
  SELECT p.tenant_id FROM profiles p WHERE p.user_id = usage.user_id AND p.role IN (usage.role, '')
  ORDER BY p.role DESC LIMIT 1
)
-- No budget counts what is older.
WHERE created_at >= strftime('%Y-%m-01', 'now')
  AND EXISTS (SELECT 1 FROM profiles p WHERE p.user_id = usage.user_id AND p.tenant_id IS NOT NULL);
CREATE INDEX usage_of_tenant ON usage (tenant_id, created_at) WHERE tenant_id IS NOT NULL;
CREATE INDEX usage_of_role ON usage (role, created_at);
