//! Standing rules: written by a person, used by an agent right before a call, taken back.

use chrono::{DateTime, Utc};
use mc_client::approval_rules::{ApprovalRule, RuleUse, UseRule, VoidReason, parameters_sha256};
use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::DecidedBy;
use mc_client::types::Page;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::Act;
use super::decisions::decided_by;
use super::error::{Conflict, StoreError};
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{
    Created, Scope, Store, audit, json_of, new_id, now, run_rows, session_of, stamp, time,
};

/// What is deleted once nobody asks for it any more.
pub(super) const DELETE_USES: &str = "DELETE FROM approval_rule_uses WHERE rule_seq IN \
    (SELECT seq FROM approval_rules WHERE expires_at < $1)";

/// The rules that [`DELETE_USES`] is about.
pub(super) const DELETE_RULES: &str = "DELETE FROM approval_rules WHERE expires_at < $1";

/// For how long a rule is kept after its time, since the repeat of a use is answered as the first time.
pub(super) const KEPT: chrono::Duration = chrono::Duration::days(366);

/// A rule to be written, whose fields were checked.
#[derive(Debug, Clone)]
pub struct NewRule {
    /// The role whose calls need no approval.
    pub role: String,
    /// The tool.
    pub tool: String,
    /// What a call has to fit: JSON.
    pub when: Option<Value>,
    /// Until when it holds.
    pub expires_at: DateTime<Utc>,
    /// For how many calls it holds.
    pub max_uses: Option<u64>,
    /// What binds it to the tool, where the writer says so.
    pub parameters_sha256: Option<String>,
    /// The tool request with whose decision it is made.
    pub tool_request_id: Option<String>,
}

fn rule(row: &AnyRow) -> ApprovalRule {
    let number =
        |name: &str| row.get::<Option<i64>, _>(name).and_then(|number| number.try_into().ok());
    ApprovalRule {
        id: row.get("id"),
        role: row.get("role"),
        tool: row.get("tool"),
        when: json_of(row.get("fits")),
        expires_at: time(row.get("expires_at")).unwrap_or_default(),
        max_uses: number("max_uses"),
        uses: number("uses").unwrap_or_default(),
        author: json_of(row.get("author")).unwrap_or_else(|| decided_by(audit::Actor::Unnamed)),
        parameters_sha256: row.get("parameters_sha256"),
        tool_request_id: row.get("tool_request_id"),
        created_at: time(row.get("created_at")),
    }
}

/// The schema of a tool's arguments as a role's newest request for it had it.
async fn known_parameters(
    tx: &mut AnyConnection,
    user_id: &str,
    new: &NewRule,
) -> Result<Option<String>, StoreError> {
    // Requests of a run below another one stand under that one's session.
    let asker = format!("%\"role\":\"{}\"%", new.role.replace('_', "\\_"));
    let row = sqlx::query(
        "SELECT parameters FROM tool_requests WHERE user_id = $1 AND tool = $3 AND kind = 'approval' \
         AND parameters IS NOT NULL AND (id = $4 OR ($4 = '' AND ((session_key = $2 AND asked_by IS NULL) \
         OR asked_by LIKE $5 ESCAPE '\\'))) ORDER BY seq DESC LIMIT 1",
    )
    .bind(user_id)
    .bind(session_of(user_id, &new.role))
    .bind(&new.tool)
    .bind(new.tool_request_id.as_deref().unwrap_or_default())
    .bind(asker)
    .fetch_optional(tx)
    .await?;
    let schema: Option<Value> = row.and_then(|row| json_of(row.get("parameters")));
    Ok(schema.as_ref().map(parameters_sha256))
}

/// Writes a rule, if the user has less than `most` in force.
pub async fn insert(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    new: &NewRule,
    most: u32,
) -> Result<ApprovalRule, StoreError> {
    let at = now();
    let row = sqlx::query(
        "SELECT count(*) AS held FROM approval_rules WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 \
         AND (max_uses IS NULL OR uses < max_uses)",
    )
    .bind(scope.user_id)
    .bind(&at)
    .fetch_one(&mut *tx)
    .await?;
    if row.get::<i64, _>("held") >= i64::from(most) {
        return Err(Conflict::TooManyRules { most }.into());
    }
    let mut known = known_parameters(tx, scope.user_id, new).await?;
    if new.tool_request_id.is_some() && known.is_none() && new.parameters_sha256.is_none() {
        // What the agent has not said this time.
        let of_tool = NewRule { tool_request_id: None, ..new.clone() };
        known = known_parameters(tx, scope.user_id, &of_tool).await?;
    }
    let author = decided_by(scope.by.actor);
    let row = sqlx::query(
        "INSERT INTO approval_rules (id, user_id, role, tool, fits, expires_at, max_uses, author, parameters_sha256, \
         tool_request_id, created_at, author_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING *",
    )
    .bind(new_id())
    .bind(scope.user_id)
    .bind(&new.role)
    .bind(&new.tool)
    .bind(new.when.as_ref().map(ToString::to_string))
    .bind(stamp(new.expires_at))
    .bind(new.max_uses.and_then(|most| i64::try_from(most).ok()))
    .bind(serde_json::to_string(&author)?)
    .bind(new.parameters_sha256.as_ref().or(known.as_ref()))
    .bind(&new.tool_request_id)
    .bind(&at)
    .bind(&author.id)
    .fetch_one(&mut *tx)
    .await?;
    let made = rule(&row);
    let act = act(scope, "approval_rule.created", &made);
    let act = act.with("expires_at", stamp(made.expires_at)).with("max_uses", json!(made.max_uses));
    // Which calls it allows can be proven by it.
    let act = match &made.when {
        Some(when) => act.with("when_sha256", parameters_sha256(when)),
        None => act,
    };
    audit::record(tx, &act).await?;
    Ok(made)
}

fn act<'a>(scope: Scope<'a>, name: &'a str, rule: &'a ApprovalRule) -> Act<'a> {
    let act = Act::new(scope.by, name).of(scope.user_id).about("approval_rule", &rule.id);
    act.with("role", &*rule.role).with("tool", &*rule.tool)
}

/// The row of a rule that the caller may see.
async fn row_of(tx: &mut AnyConnection, scope: Scope<'_>, id: &str) -> Result<AnyRow, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM approval_rules WHERE id = $1 AND user_id = $2 AND $3 IN ('', role)",
    )
    .bind(id)
    .bind(scope.user_id)
    .bind(scope.role.unwrap_or_default())
    .fetch_optional(tx)
    .await?;
    row.ok_or(StoreError::NotFound("approval rule"))
}

/// Why a rule does not hold at this moment.
fn void(row: &AnyRow, rule: &ApprovalRule, call: &UseRule, may_decide: bool) -> Option<VoidReason> {
    let is_other_tool = || {
        let known = rule.parameters_sha256.as_ref();
        known.zip(call.parameters_sha256.as_ref()).is_some_and(|(known, now)| known != now)
    };
    if row.get::<Option<&str>, _>("revoked_at").is_some() {
        Some(VoidReason::Revoked)
    } else if rule.expires_at <= Utc::now() {
        Some(VoidReason::Expired)
    } else if rule.max_uses.is_some_and(|most| rule.uses >= most) {
        Some(VoidReason::UsedUp)
    } else if !may_decide || row.get::<Option<&str>, _>("author_lost_at").is_some() {
        Some(VoidReason::Author)
    } else if is_other_tool() {
        Some(VoidReason::Schema)
    } else {
        None
    }
}

impl Store {
    /// The user's rules in force, oldest first.
    pub async fn approval_rules(
        &self,
        scope: Scope<'_>,
        role: Option<&str>,
        tool: Option<&str>,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<ApprovalRule>, StoreError> {
        const IN_FORCE: &str = "SELECT * FROM approval_rules WHERE revoked_at IS NULL \
            AND (max_uses IS NULL OR uses < max_uses) AND user_id = ?";
        let rows = Sql::new(IN_FORCE, scope.user_id)
            .and(" AND expires_at > ?", Some(now()))
            .and(" AND role = ?", scope.role)
            .and(" AND role = ?", role)
            .and(" AND tool = ?", tool)
            .and(" AND seq > ?", after)
            .and(" ORDER BY seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, rule).await
    }

    /// One rule, in force or not.
    pub async fn approval_rule(
        &self,
        scope: Scope<'_>,
        id: &str,
    ) -> Result<ApprovalRule, StoreError> {
        let mut reader = self.reader.acquire().await?;
        Ok(rule(&row_of(&mut reader, scope, id).await?))
    }

    /// Notes that somebody is no operator any more: what they have allowed for other users is void.
    pub(crate) async fn author_lost(&self, name: &str) -> Result<(), StoreError> {
        const HELD: &str = "SELECT 1 FROM approval_rules WHERE author_id = $1 AND author_id <> user_id AND author_lost_at IS NULL LIMIT 1";
        let held = sqlx::query(HELD).bind(name).fetch_optional(&self.reader).await?;
        if held.is_none() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE approval_rules SET author_lost_at = $1 WHERE author_id = $2 AND author_id <> user_id AND author_lost_at IS NULL",
        )
        .bind(now())
        .bind(name)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a rule back. Repeating it is harmless.
    pub async fn revoke_approval_rule(&self, scope: Scope<'_>, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        let row = row_of(&mut tx, scope, id).await?;
        if row.get::<Option<&str>, _>("revoked_at").is_some() {
            return Ok(());
        }
        sqlx::query("UPDATE approval_rules SET revoked_at = $1 WHERE id = $2")
            .bind(now())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        let known = rule(&row);
        audit::record(&mut tx, &act(scope, "approval_rule.revoked", &known)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Uses a rule for a call that fits it: this is the moment that counts. The repeat of a use is answered as the
    /// first time, whatever has become of the rule. `may_decide` tells whether an author still has the right.
    pub async fn use_approval_rule(
        &self,
        scope: Scope<'_>,
        id: &str,
        call: &UseRule,
        may_decide: impl FnOnce(&DecidedBy) -> bool,
        misfit: Option<StoreError>,
    ) -> Result<Created, StoreError> {
        let mut tx = self.write(scope).await?;
        let row = row_of(&mut tx, scope, id).await?;
        let seq: i64 = row.get("seq");
        let body = canonical_json(&json!({ "run_key": call.run_key, "arguments": call.arguments }));
        let known = sqlx::query(
            "SELECT body, uses FROM approval_rule_uses WHERE rule_seq = $1 AND idempotency_key = $2",
        )
        .bind(seq)
        .bind(&call.idempotency_key)
        .fetch_optional(&mut *tx)
        .await?;
        if let Some(known) = known {
            let uses = known.get::<i64, _>("uses").try_into().unwrap_or_default();
            let answer = serde_json::to_value(RuleUse { rule_id: id.to_owned(), uses })?;
            return match known.get::<&str, _>("body") == body {
                true => Ok(Created { body: answer, replayed: true }),
                false => Err(StoreError::KeyReused { original: answer }),
            };
        }
        let found = rule(&row);
        run_rows::check_waits(&mut tx, scope.user_id, &found.role, &call.run_key).await?;
        if let Some(reason) = void(&row, &found, call, may_decide(&found.author)) {
            return Err(Conflict::RuleVoid { reason }.into());
        }
        if let Some(misfit) = misfit {
            return Err(misfit);
        }
        let uses = found.uses + 1;
        let counted = i64::try_from(uses).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE approval_rules SET uses = $1, parameters_sha256 = coalesce(parameters_sha256, $2) WHERE seq = $3",
        )
        .bind(counted)
        .bind(&call.parameters_sha256)
        .bind(seq)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO approval_rule_uses (rule_seq, idempotency_key, run_key, body, uses, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(seq)
        .bind(&call.idempotency_key)
        .bind(&call.run_key)
        .bind(body)
        .bind(counted)
        .bind(now())
        .execute(&mut *tx)
        .await?;
        let act = act(scope, "approval_rule.used", &found).with("run_key", &*call.run_key);
        let arguments = parameters_sha256(&Value::Object(call.arguments.clone()));
        audit::record(&mut tx, &act.with("arguments_sha256", arguments)).await?;
        tx.commit().await?;
        Ok(Created {
            body: serde_json::to_value(RuleUse { rule_id: id.to_owned(), uses })?,
            replayed: false,
        })
    }
}
