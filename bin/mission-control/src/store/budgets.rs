//! Budgets: limits, reservations before a model call, usage after it.

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Utc};
use mc_client::budgets::{
    Budget, BudgetScope, Period, PutBudget, Reservation, Reserve, ScopedBudget, Usage,
};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::{Act, By};
use super::budget_scopes::{self, Limits, Payer};
use super::error::StoreError;
use super::{Store, audit, new_id, now, stamp};

/// How long an unsettled reservation counts: longer than any model call takes.
const RESERVED_FOR: TimeDelta = TimeDelta::minutes(15);

/// Deletes reservations that expired before a time.
pub(super) const DELETE_EXPIRED: &str = "DELETE FROM reservations WHERE expires_at < $1";

/// An amount of money as it is stored: billionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub(super) i64);

impl Nanos {
    /// The largest limit, in US dollars: sums of many such amounts still fit.
    pub const MAX_USD: f64 = 1_000_000_000.0;

    /// An amount from 0 to [`Nanos::MAX_USD`], rounded to a billionth.
    pub fn of_usd(usd: f64) -> Option<Self> {
        let fits = (0.0..=Self::MAX_USD).contains(&usd);
        // Within those bounds the number is whole and fits.
        #[allow(clippy::cast_possible_truncation)]
        fits.then(|| Self((usd * 1e9).round() as i64))
    }

    /// The amount in US dollars.
    pub fn usd(self) -> f64 {
        usd(self.0.into())
    }
}

/// Billionths of a US dollar, in US dollars. Sums are wider than amounts: no number of calls makes
/// one overflow.
fn usd(nanos: i128) -> f64 {
    // Amounts of which a billionth would be lost are beyond what anybody spends.
    #[allow(clippy::cast_precision_loss)]
    let nanos = nanos as f64;
    nanos / 1e9
}

/// A sum, read as whole dollars and as the billionths beside them: the sum of all billionths would
/// not fit into a number of the database.
pub(super) fn sum(row: &AnyRow, dollars: &str, nanos: &str) -> i128 {
    let part = |name: &str| i128::from(row.get::<i64, _>(name));
    part(dollars) * 1_000_000_000 + part(nanos)
}

/// A budget with its current figures.
pub(super) struct Figures {
    pub(super) limit: Option<Nanos>,
    pub(super) spent: i128,
    pub(super) reserved: i128,
    pub(super) period: Period,
    pub(super) end: DateTime<Utc>,
    pub(super) warn_at: Option<f64>,
}

impl Figures {
    pub(super) fn remaining(&self) -> Option<i128> {
        self.limit.map(|limit| i128::from(limit.0) - self.spent - self.reserved)
    }

    /// Whether an amount fits; where nothing is left, not even nothing does.
    pub(super) fn fits(&self, estimate: Nanos) -> bool {
        self.remaining().is_none_or(|left| left > 0 && i128::from(estimate.0) <= left)
    }

    pub(super) fn budget(&self) -> Budget {
        Budget {
            limit_usd: self.limit.map(Nanos::usd),
            spent_usd: usd(self.spent),
            reserved_usd: usd(self.reserved),
            remaining_usd: self.remaining().map(|left| usd(left.max(0))),
            period: Some(self.period),
            period_end: Some(self.end),
            budgets: Vec::new(),
        }
    }

    /// As the limit of a scope; `None` where there is no limit.
    pub(super) fn scoped(&self, scope: BudgetScope) -> Option<ScopedBudget> {
        Some(ScopedBudget {
            scope,
            limit_usd: self.limit?.usd(),
            spent_usd: usd(self.spent),
            reserved_usd: usd(self.reserved),
            remaining_usd: usd(self.remaining()?.max(0)),
            period: self.period,
            period_end: self.end,
            warn_at: self.warn_at,
        })
    }
}

/// Start and end of the period that contains a time.
pub(super) fn bounds(period: Period, at: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let day = at.date_naive();
    let (start, end) = match period {
        Period::Day => (day, day.succ_opt()),
        Period::Month => {
            let first = day.with_day(1).unwrap_or(day);
            (first, first.checked_add_months(Months::new(1)))
        }
    };
    let midnight = |day: chrono::NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    (midnight(start), midnight(end.unwrap_or(start)))
}

pub(super) fn period_name(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

/// The period of a row.
pub(super) fn period_of(row: &AnyRow) -> Period {
    match row.get::<&str, _>("period") {
        name if name == period_name(Period::Day) => Period::Day,
        _ => Period::Month,
    }
}

/// The budget of a user, whatever the role.
pub(super) async fn figures(
    tx: &mut AnyConnection,
    user_id: &str,
    default: Option<Nanos>,
) -> Result<Figures, StoreError> {
    let own = sqlx::query("SELECT limit_nanos, period, warn_at FROM budgets WHERE user_id = $1")
        .bind(user_id)
        .fetch_optional(&mut *tx)
        .await?;
    let (limit, period, warn_at) = match own {
        Some(own) => (Some(Nanos(own.get("limit_nanos"))), period_of(&own), own.get("warn_at")),
        None => (default, Period::Month, None),
    };
    let at = Utc::now();
    let (start, end) = bounds(period, at);
    let sums = sqlx::query(
        "SELECT spent, spent_nanos, reserved, reserved_nanos FROM \
           (SELECT coalesce(CAST(sum(cost_nanos / 1000000000) AS BIGINT), 0) AS spent, \
              coalesce(CAST(sum(cost_nanos % 1000000000) AS BIGINT), 0) AS spent_nanos \
            FROM usage WHERE user_id = $1 AND created_at >= $2) u, \
           (SELECT coalesce(CAST(sum(estimate_nanos / 1000000000) AS BIGINT), 0) AS reserved, \
              coalesce(CAST(sum(estimate_nanos % 1000000000) AS BIGINT), 0) AS reserved_nanos \
            FROM reservations WHERE user_id = $1 AND settled_at IS NULL AND expires_at > $3) r",
    )
    .bind(user_id)
    .bind(stamp(start))
    .bind(stamp(at))
    .fetch_one(tx)
    .await?;
    let spent = sum(&sums, "spent", "spent_nanos");
    let reserved = sum(&sums, "reserved", "reserved_nanos");
    Ok(Figures { limit, spent, reserved, period, end, warn_at })
}

/// Reserves an amount; [`StoreError::BudgetExceeded`] if it does not fit each limit.
pub async fn reserve(
    tx: &mut AnyConnection,
    (user_id, role): (&str, Option<&str>),
    new: &Reserve,
    estimate: Nanos,
    default: Option<Nanos>,
) -> Result<Reservation, StoreError> {
    let payer = Payer::find(tx, user_id, role).await?;
    if let Some(refusal) = Limits::of_call(tx, &payer, default).await?.refusal(estimate) {
        return Err(StoreError::BudgetExceeded(Box::new(refusal)));
    }
    let expires = Utc::now() + RESERVED_FOR;
    let id = new_id();
    sqlx::query(
        "INSERT INTO reservations (id, user_id, role, tenant_id, run_id, estimate_nanos, expires_at, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&id)
    .bind(user_id)
    .bind(role)
    .bind(&payer.tenant_id)
    .bind(&new.run_id)
    .bind(estimate.0)
    .bind(stamp(expires))
    .bind(now())
    .execute(tx)
    .await?;
    Ok(Reservation { reservation_id: id, expires_at: Some(expires) })
}

/// A usage record.
#[derive(Debug, Serialize)]
pub struct UsageRecord {
    id: String,
    #[serde(flatten)]
    usage: Usage,
}

/// Records what a model call used, and settles its reservation.
pub async fn record_usage(
    tx: &mut AnyConnection,
    user_id: &str,
    usage: &Usage,
    cost: Nanos,
) -> Result<UsageRecord, StoreError> {
    let role = usage.role.as_str();
    let mut payer = Payer::find(tx, user_id, Some(role)).await?;
    if let Some(reservation) = &usage.reservation_id {
        let settled = sqlx::query("UPDATE reservations SET settled_at = coalesce(settled_at, $1) WHERE id = $2 AND user_id = $3")
            .bind(now())
            .bind(reservation)
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        if settled.rows_affected() == 0 {
            return Err(StoreError::NotFound("reservation"));
        }
        payer.as_reserved(tx, reservation).await?;
    }
    let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let id = new_id();
    sqlx::query(
        "INSERT INTO usage (id, user_id, run_id, reservation_id, role, model, prompt_tokens, completion_tokens, cost_nanos, estimated, created_at, tenant_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(&id)
    .bind(user_id)
    .bind(&usage.run_id)
    .bind(&usage.reservation_id)
    .bind(&usage.role)
    .bind(&usage.model)
    .bind(tokens(usage.prompt_tokens))
    .bind(tokens(usage.completion_tokens))
    .bind(cost.0)
    .bind(i64::from(usage.estimated))
    .bind(now())
    .bind(&payer.tenant_id)
    .execute(&mut *tx)
    .await?;
    budget_scopes::book(tx, &payer, &usage.run_id, cost).await?;
    Ok(UsageRecord { id, usage: usage.clone() })
}

impl Store {
    /// The budget of a user, and all limits that calls of an agent must fit; without a role those that
    /// calls of any of the user's agents must.
    pub async fn budget(
        &self,
        user_id: &str,
        role: Option<&str>,
        default: Option<Nanos>,
    ) -> Result<Budget, StoreError> {
        let mut tx = self.reader.begin().await?;
        let limits = match role {
            Some(_) => {
                let payer = Payer::find(&mut tx, user_id, role).await?;
                Limits::of_call(&mut tx, &payer, default).await?
            }
            None => Limits::of_person(&mut tx, user_id, default).await?,
        };
        Ok(limits.budget())
    }

    /// Sets a budget.
    pub async fn put_budget(
        &self,
        by: By<'_>,
        put: &PutBudget,
        limit: Nanos,
    ) -> Result<ScopedBudget, StoreError> {
        let mut tx = self.begin().await?;
        let scope = put.scope();
        let set = match &scope {
            BudgetScope { user_id: Some(user_id), tenant_id: None, role: None } => {
                put_of_user(&mut tx, user_id, put, limit).await?
            }
            _ => budget_scopes::put(&mut tx, put, &scope, limit).await?,
        };
        let mut act = Act::new(by, "budget.set").with("limit_usd", limit.usd());
        act.user_id = put.user_id.as_deref();
        for (name, named) in [("tenant_id", &put.tenant_id), ("role", &put.role)] {
            if let Some(named) = named {
                act = act.with(name, named.as_str());
            }
        }
        if let Some(warn_at) = put.warn_at {
            act = act.with("warn_at", warn_at);
        }
        audit::record(&mut tx, &act.with("period", period_name(put.period))).await?;
        tx.commit().await?;
        set.scoped(scope).ok_or(StoreError::NotFound("budget"))
    }
}

async fn put_of_user(
    tx: &mut AnyConnection,
    user_id: &str,
    put: &PutBudget,
    limit: Nanos,
) -> Result<Figures, StoreError> {
    sqlx::query(
        "INSERT INTO budgets (user_id, limit_nanos, period, warn_at, updated_at) VALUES ($1, $2, $3, CAST($4 AS DOUBLE PRECISION), $5) \
         ON CONFLICT (user_id) DO UPDATE SET limit_nanos = excluded.limit_nanos, period = excluded.period, \
           warn_at = excluded.warn_at, updated_at = excluded.updated_at",
    )
    .bind(user_id)
    .bind(limit.0)
    .bind(period_name(put.period))
    // As text: an absent number has another type than a present one.
    .bind(put.warn_at.map(|part| part.to_string()))
    .bind(now())
    .execute(&mut *tx)
    .await?;
    figures(tx, user_id, None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        for (period, at, start, end) in [
            (Period::Day, "2026-02-28T23:59:59Z", "2026-02-28", "2026-03-01"),
            (Period::Month, "2026-02-28T23:59:59Z", "2026-02-01", "2026-03-01"),
            (Period::Month, "2026-12-31T12:00:00Z", "2026-12-01", "2027-01-01"),
            (Period::Month, "2026-01-01T00:00:00Z", "2026-01-01", "2026-02-01"),
        ] {
            let midnight = |day: &str| format!("{day}T00:00:00Z").parse::<DateTime<Utc>>().unwrap();
            assert_eq!(
                bounds(period, at.parse().unwrap()),
                (midnight(start), midnight(end)),
                "{at}"
            );
        }
    }

    #[test]
    fn sums_of_small_amounts_are_exact_and_impossible_amounts_are_none() {
        let cent = Nanos::of_usd(0.01).unwrap();
        assert_eq!(
            (0..100).fold(Nanos(0), |sum, _| Nanos(sum.0 + cent.0)),
            Nanos::of_usd(1.0).unwrap()
        );
        for usd in [-0.01, f64::NAN, f64::INFINITY, 1e10] {
            assert_eq!(Nanos::of_usd(usd), None, "{usd}");
        }
    }
}
