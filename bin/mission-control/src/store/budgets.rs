//! Budgets: limits, reservations before a model call, usage after it.

use chrono::{DateTime, Datelike, Months, NaiveTime, TimeDelta, Utc};
use mc_client::budgets::{Budget, Period, PutBudget, Reservation, Reserve, Usage};
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::Act;
use super::error::StoreError;
use super::{Scope, Store, audit, new_id, now, stamp};

/// How long an unsettled reservation counts: longer than any model call takes.
const RESERVED_FOR: TimeDelta = TimeDelta::minutes(15);

/// Deletes reservations that expired before a time.
pub(super) const DELETE_EXPIRED: &str = "DELETE FROM reservations WHERE expires_at < $1";

/// An amount of money as it is stored: billionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(i64);

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
fn sum(row: &AnyRow, dollars: &str, nanos: &str) -> i128 {
    let part = |name: &str| i128::from(row.get::<i64, _>(name));
    part(dollars) * 1_000_000_000 + part(nanos)
}

/// A budget with its current figures.
struct Figures {
    limit: Option<Nanos>,
    spent: i128,
    reserved: i128,
    period: Period,
    end: DateTime<Utc>,
}

impl Figures {
    fn remaining(&self) -> Option<i128> {
        self.limit.map(|limit| i128::from(limit.0) - self.spent - self.reserved)
    }

    fn budget(&self) -> Budget {
        Budget {
            limit_usd: self.limit.map(Nanos::usd),
            spent_usd: usd(self.spent),
            reserved_usd: usd(self.reserved),
            remaining_usd: self.remaining().map(|left| usd(left.max(0))),
            period: Some(self.period),
            period_end: Some(self.end),
        }
    }
}

/// Start and end of the period that contains a time.
fn bounds(period: Period, at: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
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

fn period_name(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
    }
}

async fn figures(
    tx: &mut AnyConnection,
    user_id: &str,
    default: Option<Nanos>,
) -> Result<Figures, StoreError> {
    let own = sqlx::query("SELECT limit_nanos, period FROM budgets WHERE user_id = $1")
        .bind(user_id)
        .fetch_optional(&mut *tx)
        .await?;
    let (limit, period) = match own {
        Some(own) if own.get::<&str, _>("period") == period_name(Period::Day) => {
            (Some(Nanos(own.get("limit_nanos"))), Period::Day)
        }
        Some(own) => (Some(Nanos(own.get("limit_nanos"))), Period::Month),
        None => (default, Period::Month),
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
    Ok(Figures { limit, spent, reserved, period, end })
}

/// Reserves an amount; [`StoreError::BudgetExceeded`] if it does not fit.
pub async fn reserve(
    tx: &mut AnyConnection,
    user_id: &str,
    new: &Reserve,
    estimate: Nanos,
    default: Option<Nanos>,
) -> Result<Reservation, StoreError> {
    let figures = figures(tx, user_id, default).await?;
    if figures.remaining().is_some_and(|left| left <= 0 || i128::from(estimate.0) > left) {
        return Err(StoreError::BudgetExceeded(Box::new(figures.budget())));
    }
    let expires = Utc::now() + RESERVED_FOR;
    let id = new_id();
    sqlx::query(
        "INSERT INTO reservations (id, user_id, run_id, estimate_nanos, expires_at, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&id)
    .bind(user_id)
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
    }
    let tokens = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let id = new_id();
    sqlx::query(
        "INSERT INTO usage (id, user_id, run_id, reservation_id, role, model, prompt_tokens, completion_tokens, cost_nanos, estimated, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
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
    .execute(tx)
    .await?;
    Ok(UsageRecord { id, usage: usage.clone() })
}

impl Store {
    /// A user's budget.
    pub async fn budget(
        &self,
        user_id: &str,
        default: Option<Nanos>,
    ) -> Result<Budget, StoreError> {
        let mut tx = self.reader.begin().await?;
        figures(&mut tx, user_id, default).await.map(|figures| figures.budget())
    }

    /// Sets a user's budget.
    pub async fn put_budget(
        &self,
        scope: Scope<'_>,
        put: &PutBudget,
        limit: Nanos,
    ) -> Result<Budget, StoreError> {
        let mut tx = self.write(scope).await?;
        sqlx::query(
            "INSERT INTO budgets (user_id, limit_nanos, period, updated_at) VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO UPDATE \
             SET limit_nanos = excluded.limit_nanos, period = excluded.period, updated_at = excluded.updated_at",
        )
        .bind(&put.user_id)
        .bind(limit.0)
        .bind(period_name(put.period))
        .bind(now())
        .execute(&mut *tx)
        .await?;
        let act = Act::new(scope.by, "budget.set").of(&put.user_id).with("limit_usd", limit.usd());
        audit::record(&mut tx, &act.with("period", period_name(put.period))).await?;
        let budget = figures(&mut tx, &put.user_id, None).await?.budget();
        tx.commit().await?;
        Ok(budget)
    }
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
