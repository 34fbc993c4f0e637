//! Budgets of tenants, of roles and of combinations beside those of users: which of them a call must fit,
//! what is counted in each, and of which it is told that it is nearly spent.
//!
//! A call is its user's and its role's, and of the tenant that the user's profile names when it is
//! reserved. What is spent in a budget is counted with each booking, so that nobody adds up a tenant's
//! calls of a month while others wait for their turn to write.

use chrono::{DateTime, Utc};
use mc_client::budgets::{
    BUDGET_WARNED, Budget, BudgetRefusal, BudgetScope, BudgetWarned, PutBudget,
};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::budgets::{Figures, Nanos, bounds, figures, period_name, period_of, sum};
use super::error::StoreError;
use super::profiles::tenant_of;
use super::sql::Sql;
use super::{events, now, stamp};

/// Deletes which warnings were sent in periods that ended before a time.
pub(super) const DELETE_WARNED: &str = "DELETE FROM budget_warnings WHERE period_end < $1";

/// Who pays for a call.
pub(super) struct Payer {
    user_id: String,
    role: Option<String>,
    pub(super) tenant_id: Option<String>,
}

impl Payer {
    /// As the user's profile says now.
    pub(super) async fn find(
        tx: &mut AnyConnection,
        user_id: &str,
        role: Option<&str>,
    ) -> Result<Self, StoreError> {
        let tenant_id = tenant_of(tx, user_id, role).await?.filter(|tenant| !tenant.is_empty());
        Ok(Self { user_id: user_id.to_owned(), role: role.map(str::to_owned), tenant_id })
    }

    /// As it was when the call was reserved: its cost goes where the money was held.
    pub(super) async fn as_reserved(
        &mut self,
        tx: &mut AnyConnection,
        reservation: &str,
    ) -> Result<(), StoreError> {
        let row = sqlx::query("SELECT role, tenant_id FROM reservations WHERE id = $1")
            .bind(reservation)
            .fetch_one(tx)
            .await?;
        // Those without a role are from before it was written down, or a person's.
        if row.get::<Option<String>, _>("role") == self.role {
            self.tenant_id = row.get("tenant_id");
        }
        Ok(())
    }
}

/// A budget that is not a user's alone.
struct Scoped {
    scope: BudgetScope,
    figures: Figures,
}

/// All limits that a call must fit.
pub(super) struct Limits {
    user_id: String,
    of_user: Figures,
    scoped: Vec<Scoped>,
}

impl Limits {
    pub(super) async fn of_call(
        tx: &mut AnyConnection,
        payer: &Payer,
        default: Option<Nanos>,
    ) -> Result<Self, StoreError> {
        let rows = matching(tx, payer).await?;
        Self::over(tx, &payer.user_id, default, &rows).await
    }

    /// Those of calls of any agent of a user.
    pub(super) async fn of_person(
        tx: &mut AnyConnection,
        user_id: &str,
        default: Option<Nanos>,
    ) -> Result<Self, StoreError> {
        let rows = of_any_role(tx, user_id).await?;
        Self::over(tx, user_id, default, &rows).await
    }

    async fn over(
        tx: &mut AnyConnection,
        user_id: &str,
        default: Option<Nanos>,
        rows: &[AnyRow],
    ) -> Result<Self, StoreError> {
        let of_user = figures(tx, user_id, default).await?;
        let at = Utc::now();
        let mut scoped = Vec::with_capacity(rows.len());
        for row in rows {
            let scope = scope_of(row);
            let figures = figures_of(tx, row, &scope, at).await?;
            scoped.push(Scoped { scope, figures });
        }
        Ok(Self { user_id: user_id.to_owned(), of_user, scoped })
    }

    /// Each limit with its scope, the user's own first.
    fn each(&self) -> impl Iterator<Item = (BudgetScope, &Figures)> {
        let own = (BudgetScope::of_user(&self.user_id), &self.of_user);
        let scoped = self.scoped.iter().map(|one| (one.scope.clone(), &one.figures));
        std::iter::once(own).chain(scoped)
    }

    pub(super) fn budget(&self) -> Budget {
        let budgets = self.each().filter_map(|(scope, figures)| figures.scoped(scope)).collect();
        Budget { budgets, ..self.of_user.budget() }
    }

    /// Why an amount does not fit, if so: the limit with the least left.
    pub(super) fn refusal(&self, estimate: Nanos) -> Option<BudgetRefusal> {
        let full = self.each().filter(|(_, figures)| !figures.fits(estimate));
        let (scope, figures) = full.min_by_key(|(_, figures)| figures.remaining())?;
        Some(BudgetRefusal { of_user: self.budget(), budget: figures.scoped(scope) })
    }
}

/// The budgets that a call counts in, but for the user's own.
async fn matching(tx: &mut AnyConnection, payer: &Payer) -> Result<Vec<AnyRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM budget_scopes WHERE tenant_id IN ('', $1) AND user_id IN ('', $2) AND role IN ('', $3) \
         ORDER BY tenant_id, user_id, role",
    )
    .bind(payer.tenant_id.as_deref().unwrap_or_default())
    .bind(&payer.user_id)
    .bind(payer.role.as_deref().unwrap_or_default())
    .fetch_all(tx)
    .await?;
    Ok(rows)
}

/// The budgets that calls of a user's agents count in, whatever their role, but for the user's own.
async fn of_any_role(tx: &mut AnyConnection, user_id: &str) -> Result<Vec<AnyRow>, StoreError> {
    let profiles = sqlx::query("SELECT role, tenant_id FROM profiles WHERE user_id = $1")
        .bind(user_id)
        .fetch_all(&mut *tx)
        .await?;
    let profiles: Vec<(String, String)> = profiles
        .iter()
        .map(|row| (row.get("role"), row.get::<Option<_>, _>("tenant_id").unwrap_or_default()))
        .collect();
    let tenant_of = |role: &str| {
        let own = profiles.iter().find(|(of, _)| of == role);
        let own = own.or_else(|| profiles.iter().find(|(of, _)| of.is_empty()));
        own.map(|(_, tenant)| tenant.as_str())
    };
    let mut tenants: Vec<_> = profiles.iter().map(|(_, tenant)| tenant.as_str()).collect();
    tenants.push("");
    tenants.sort_unstable();
    tenants.dedup();
    let mut found = Vec::new();
    for tenant in tenants {
        let rows = sqlx::query(
            "SELECT * FROM budget_scopes WHERE tenant_id = $1 AND user_id IN ('', $2) ORDER BY user_id, role",
        )
        .bind(tenant)
        .bind(user_id)
        .fetch_all(&mut *tx)
        .await?;
        found.extend(rows.into_iter().filter(|row| {
            let role: &str = row.get("role");
            tenant.is_empty() || role.is_empty() || tenant_of(role) == Some(tenant)
        }));
    }
    Ok(found)
}

fn scope_of(row: &AnyRow) -> BudgetScope {
    let named = |name: &str| Some(row.get::<String, _>(name)).filter(|named| !named.is_empty());
    BudgetScope { user_id: named("user_id"), tenant_id: named("tenant_id"), role: named("role") }
}

/// What was counted in a period; one that has begun since counts from zero. The clock of the instance that
/// counted last may be ahead of this one's.
fn counted(row: &AnyRow, start: DateTime<Utc>) -> i64 {
    let is_counted = row.get::<String, _>("counted_from") >= stamp(start);
    if is_counted { row.get("spent_nanos") } else { 0 }
}

async fn figures_of(
    tx: &mut AnyConnection,
    row: &AnyRow,
    scope: &BudgetScope,
    at: DateTime<Utc>,
) -> Result<Figures, StoreError> {
    let period = period_of(row);
    let (start, end) = bounds(period, at);
    let reserved = Sql::new(
        "SELECT coalesce(CAST(sum(estimate_nanos / 1000000000) AS BIGINT), 0) AS reserved, \
           coalesce(CAST(sum(estimate_nanos % 1000000000) AS BIGINT), 0) AS reserved_nanos \
         FROM reservations WHERE settled_at IS NULL AND expires_at > ?",
        stamp(at),
    );
    let reserved = within(reserved, scope).fetch_all(&mut *tx).await?;
    Ok(Figures {
        limit: Some(Nanos(row.get("limit_nanos"))),
        spent: counted(row, start).into(),
        reserved: reserved.first().map_or(0, |row| sum(row, "reserved", "reserved_nanos")),
        period,
        end,
        warn_at: row.get("warn_at"),
    })
}

/// Narrows a query to the calls of a scope.
fn within(query: Sql, scope: &BudgetScope) -> Sql {
    query
        .and(" AND user_id = ?", scope.user_id.as_deref())
        .and(" AND tenant_id = ?", scope.tenant_id.as_deref())
        .and(" AND role = ?", scope.role.as_deref())
}

/// Counts a call in each budget, and tells which are nearly spent.
pub(super) async fn book(
    tx: &mut AnyConnection,
    payer: &Payer,
    run_id: &str,
    cost: Nanos,
) -> Result<(), StoreError> {
    let at = Utc::now();
    for row in matching(tx, payer).await? {
        let scope = scope_of(&row);
        let start = bounds(period_of(&row), at).0;
        let from = row.get::<String, _>("counted_from").max(stamp(start));
        let spent = counted(&row, start).saturating_add(cost.0);
        sqlx::query(
            "UPDATE budget_scopes SET counted_from = $1, spent_nanos = $2 WHERE tenant_id = $3 AND user_id = $4 AND role = $5",
        )
        .bind(from)
        .bind(spent)
        .bind(row.get::<&str, _>("tenant_id"))
        .bind(row.get::<&str, _>("user_id"))
        .bind(row.get::<&str, _>("role"))
        .execute(&mut *tx)
        .await?;
        if row.get::<Option<f64>, _>("warn_at").is_some() {
            let figures =
                Figures { spent: spent.into(), ..figures_of(tx, &row, &scope, at).await? };
            warn(tx, payer, run_id, &figures, scope).await?;
        }
    }
    let own = "SELECT 1 FROM budgets WHERE user_id = $1 AND warn_at IS NOT NULL";
    if sqlx::query(own).bind(&payer.user_id).fetch_optional(&mut *tx).await?.is_some() {
        let figures = figures(tx, &payer.user_id, None).await?;
        warn(tx, payer, run_id, &figures, BudgetScope::of_user(&payer.user_id)).await?;
    }
    Ok(())
}

/// Whether so much of the limit is spent that it is to be told.
fn is_reached(figures: &Figures) -> bool {
    let (Some(limit), Some(warn_at)) = (figures.limit, figures.warn_at) else { return false };
    Nanos::of_usd(limit.usd() * warn_at).is_some_and(|part| figures.spent >= part.0.into())
}

/// Tells that a budget is nearly spent: once for its period and limit.
async fn warn(
    tx: &mut AnyConnection,
    payer: &Payer,
    run_id: &str,
    figures: &Figures,
    scope: BudgetScope,
) -> Result<(), StoreError> {
    if !is_reached(figures) {
        return Ok(());
    }
    let Some(budget) = figures.scoped(scope) else { return Ok(()) };
    let name = |named: &Option<String>| named.clone().unwrap_or_default();
    let noted = sqlx::query(
        "INSERT INTO budget_warnings (tenant_id, user_id, role, period, period_end, limit_nanos) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(name(&budget.scope.tenant_id))
    .bind(name(&budget.scope.user_id))
    .bind(name(&budget.scope.role))
    .bind(period_name(figures.period))
    .bind(stamp(figures.end))
    .bind(figures.limit.map(|limit| limit.0))
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    tracing::warn!(budget = %budget.scope, limit_usd = budget.limit_usd, spent_usd = budget.spent_usd, "budget is nearly spent");
    // Other roles need not hear of a role's budget.
    let role = budget.scope.role.clone();
    let event = BudgetWarned { budget, run_id: run_id.to_owned() };
    events::record_of(tx, &payer.user_id, role.as_deref(), BUDGET_WARNED, "budget_id", &event).await
}

/// Sets a budget that is not a user's alone. What its calls have cost in the period counts from its start.
pub(super) async fn put(
    tx: &mut AnyConnection,
    put: &PutBudget,
    scope: &BudgetScope,
    limit: Nanos,
) -> Result<Figures, StoreError> {
    let at = Utc::now();
    let start = bounds(put.period, at).0;
    let spent = Sql::new(
        "SELECT coalesce(CAST(sum(cost_nanos / 1000000000) AS BIGINT), 0) AS spent, \
           coalesce(CAST(sum(cost_nanos % 1000000000) AS BIGINT), 0) AS spent_nanos \
         FROM usage WHERE created_at >= ?",
        stamp(start),
    );
    let spent = within(spent, scope).fetch_all(&mut *tx).await?;
    let spent = spent.first().map_or(0, |row| sum(row, "spent", "spent_nanos"));
    let name = |named: &Option<String>| named.clone().unwrap_or_default();
    let row = sqlx::query(
        "INSERT INTO budget_scopes (tenant_id, user_id, role, limit_nanos, period, warn_at, counted_from, spent_nanos, updated_at) \
         VALUES ($1, $2, $3, $4, $5, CAST($6 AS DOUBLE PRECISION), $7, $8, $9) ON CONFLICT (tenant_id, user_id, role) DO UPDATE \
         SET limit_nanos = excluded.limit_nanos, period = excluded.period, warn_at = excluded.warn_at, \
           counted_from = excluded.counted_from, spent_nanos = excluded.spent_nanos, updated_at = excluded.updated_at \
         RETURNING *",
    )
    .bind(name(&put.tenant_id))
    .bind(name(&put.user_id))
    .bind(name(&put.role))
    .bind(limit.0)
    .bind(period_name(put.period))
    // As text: an absent number has another type than a present one.
    .bind(put.warn_at.map(|part| part.to_string()))
    .bind(stamp(start))
    .bind(i64::try_from(spent).unwrap_or(i64::MAX))
    .bind(now())
    .fetch_one(&mut *tx)
    .await?;
    figures_of(tx, &row, scope, at).await
}
