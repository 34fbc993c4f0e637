-- What narrows the agents of a user, by role; the role is empty for all roles that have none of their own.
CREATE TABLE profiles (
  user_id TEXT NOT NULL,
  role TEXT NOT NULL,
  body TEXT NOT NULL,
  tenant_id TEXT,
  updated_at TEXT NOT NULL,
  PRIMARY KEY (user_id, role)
);
CREATE INDEX profiles_of_tenant ON profiles (tenant_id) WHERE tenant_id IS NOT NULL;

-- With what a run was made.
ALTER TABLE runs ADD COLUMN workspace TEXT;
ALTER TABLE runs ADD COLUMN profile_digest TEXT;
