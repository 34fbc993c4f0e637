//! Customers' profiles: what narrows the agents of a user.

use serde_json::{Map, Value};
use sqlx::{AnyConnection, Row};

use super::audit::{Act, By};
use super::error::StoreError;
use super::{Store, audit, json_of, now};

/// The row of all roles that have none of their own.
const ALL_ROLES: &str = "";

/// A role's own profile, or the one of all roles.
const FIND: &str = "SELECT body, tenant_id FROM profiles WHERE user_id = $1 AND role IN ($2, '') \
    ORDER BY role DESC LIMIT 1";

/// The customer that a user belongs to, as the profile of a role says; of no role in particular, as the one of
/// all roles does.
pub async fn tenant_of(
    connection: &mut AnyConnection,
    user_id: &str,
    role: Option<&str>,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query(FIND)
        .bind(user_id)
        .bind(role.unwrap_or(ALL_ROLES))
        .fetch_optional(connection)
        .await?;
    Ok(row.and_then(|row| row.get("tenant_id")))
}

impl Store {
    /// The profile of a user and a role; an empty one where there is none.
    pub async fn profile(&self, user_id: &str, role: Option<&str>) -> Result<Value, StoreError> {
        let mut connection = self.reader.acquire().await?;
        let row = sqlx::query(FIND)
            .bind(user_id)
            .bind(role.unwrap_or(ALL_ROLES))
            .fetch_optional(&mut *connection)
            .await?;
        let body = row.and_then(|row| json_of(row.get("body")));
        Ok(body.unwrap_or_else(|| Value::Object(Map::new())))
    }

    /// Replaces a profile. Without a role it is the one of all roles that have none of their own.
    pub async fn put_profile(
        &self,
        by: By<'_>,
        (user_id, role): (&str, Option<&str>),
        body: &Value,
        digest: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO profiles (user_id, role, body, tenant_id, updated_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (user_id, role) DO UPDATE SET body = excluded.body, \
               tenant_id = excluded.tenant_id, updated_at = excluded.updated_at",
        )
        .bind(user_id)
        .bind(role.unwrap_or(ALL_ROLES))
        .bind(body.to_string())
        .bind(body["tenant_id"].as_str())
        .bind(now())
        .execute(&mut *tx)
        .await?;
        let act = Act::new(by, "profile.set").of(user_id).with("digest", digest);
        let act = match role {
            Some(role) => act.with("role", role),
            None => act,
        };
        audit::record(&mut tx, &act).await?;
        tx.commit_untold().await?;
        Ok(())
    }
}
