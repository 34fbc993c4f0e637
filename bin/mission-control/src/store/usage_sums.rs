//! What agents of users whose data was erased have spent: sums of a day, which name nobody, so that budgets of tenants
//! and roles count on.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::error::StoreError;
use super::sql::list;

/// How many bookings are added up at a time.
const AT_A_TIME: i64 = 500;

/// Of what a sum is: day, role, model, tenant, and whether it is an estimate.
type Of = (String, String, String, Option<String>, i64);

/// Replaces some of a user's bookings by sums; how many.
pub(super) async fn fold_some(tx: &mut AnyConnection, user_id: &str) -> Result<u64, StoreError> {
    let rows = sqlx::query("SELECT * FROM usage WHERE user_id = $1 ORDER BY seq LIMIT $2")
        .bind(user_id)
        .bind(AT_A_TIME)
        .fetch_all(&mut *tx)
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut sums = BTreeMap::<Of, [i64; 3]>::new();
    for row in &rows {
        let day: String = row.get::<&str, _>("created_at").chars().take(10).collect();
        let of =
            (day, row.get("role"), row.get("model"), row.get("tenant_id"), row.get("estimated"));
        let sum = sums.entry(of).or_default();
        for (sum, name) in sum.iter_mut().zip(["prompt_tokens", "completion_tokens", "cost_nanos"])
        {
            *sum = sum.saturating_add(row.get(name));
        }
    }
    for (of, sum) in sums {
        add(tx, &of, sum).await?;
    }
    let seqs: Vec<i64> = rows.iter().map(|row| row.get("seq")).collect();
    let text = format!("DELETE FROM usage WHERE seq IN ({})", list(&seqs));
    let done = sqlx::query(AssertSqlSafe(text)).persistent(false).execute(tx).await?;
    Ok(done.rows_affected())
}

async fn add(tx: &mut AnyConnection, of: &Of, sum: [i64; 3]) -> Result<(), StoreError> {
    let id = format!("sum:{}", serde_json::to_string(of)?);
    let (day, role, model, tenant_id, estimated) = of;
    let [prompt_tokens, completion_tokens, cost_nanos] = sum;
    sqlx::query(
        "INSERT INTO usage (id, user_id, run_id, role, model, prompt_tokens, completion_tokens, cost_nanos, estimated, \
           created_at, tenant_id) VALUES ($1, '', '', $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens, \
           completion_tokens = usage.completion_tokens + excluded.completion_tokens, \
           cost_nanos = usage.cost_nanos + excluded.cost_nanos",
    )
    .bind(id)
    .bind(role)
    .bind(model)
    .bind(prompt_tokens)
    .bind(completion_tokens)
    .bind(cost_nanos)
    .bind(estimated)
    .bind(format!("{day}T00:00:00.000000Z"))
    .bind(tenant_id)
    .execute(tx)
    .await?;
    Ok(())
}
