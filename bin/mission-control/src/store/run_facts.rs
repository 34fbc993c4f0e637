//! What lists of runs show of a run, as its daemon sends it with the run's status.

use chrono::Utc;
use mc_client::run_lists::{MAX_TEXT, RunFacts};
use mc_client::runs::{PutRun, Run, RunStatus};
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::memory_words::{holder, words};
use super::now;

/// The fields that are kept beside a run's further data, and not in it.
pub(super) const TEXTS: [&str; 2] = ["asked", "reply"];

/// The facts of a `PUT`. Of fields that have another type than ours nothing is known.
fn facts(sent: &PutRun) -> RunFacts {
    let known = RunFacts::deserialize(Value::Object(sent.extra.clone()));
    known.unwrap_or_else(|_| {
        let text = |name: &str| sent.extra.get(name).and_then(Value::as_str).map(str::to_owned);
        RunFacts {
            model: text("model"),
            provider: text("provider"),
            cost_usd: sent.extra.get("cost_usd").and_then(Value::as_f64),
            error_code: text("error_code"),
            asked: text("asked"),
            reply: text("reply"),
        }
    })
}

/// Keeps what a `PUT` says of a run that is now this.
pub(super) async fn keep(
    tx: &mut AnyConnection,
    seq: i64,
    user_id: &str,
    sent: &PutRun,
    run: &Run,
) -> Result<(), StoreError> {
    let facts = facts(sent);
    let text = |name: &str| sent.extra.get(name).and_then(Value::as_str);
    let status = run.known_status();
    let is_over = matches!(
        status,
        Some(
            RunStatus::Completed
                | RunStatus::Failed
                | RunStatus::Cancelled
                | RunStatus::Interrupted
        )
    );
    let error = facts.error_code.as_deref().or_else(|| text("error"));
    let took = run.created_at.map(|begun| (Utc::now() - begun).num_milliseconds().max(0));
    sqlx::query(
        "UPDATE runs SET model = coalesce($1, model), provider = coalesce($2, provider), \
         message_id = coalesce($3, message_id), used = coalesce($4, used), cost_usd = coalesce(CAST($5 AS DOUBLE PRECISION), cost_usd), \
         error_code = CASE WHEN CAST($10 AS BIGINT) = 1 THEN coalesce($6, error_code) END, \
         ended_at = CASE WHEN CAST($7 AS TEXT) IS NULL THEN NULL ELSE coalesce(ended_at, $7) END, \
         duration_ms = CASE WHEN CAST($8 AS BIGINT) IS NULL THEN NULL ELSE coalesce(duration_ms, $8) END \
         WHERE seq = $9",
    )
    .bind(&facts.model)
    .bind(&facts.provider)
    .bind(text("message_id"))
    .bind(sent.extra.get("usage").filter(|usage| usage.is_object()).map(ToString::to_string))
    // As text: PostgreSQL knows a missing number by another type than one that is there.
    .bind(facts.cost_usd.map(|usd| usd.to_string()))
    .bind(error.filter(|_| status == Some(RunStatus::Failed)))
    .bind(is_over.then(now))
    .bind(took.filter(|_| is_over))
    .bind(seq)
    .bind(i64::from(status == Some(RunStatus::Failed)))
    .execute(&mut *tx)
    .await?;
    keep_texts(tx, seq, user_id, facts).await
}

async fn keep_texts(
    tx: &mut AnyConnection,
    seq: i64,
    user_id: &str,
    facts: RunFacts,
) -> Result<(), StoreError> {
    let RunFacts { asked, reply, .. } = facts;
    if asked.is_none() && reply.is_none() {
        return Ok(());
    }
    let known = sqlx::query("SELECT asked, reply FROM run_texts WHERE run_seq = $1")
        .bind(seq)
        .fetch_optional(&mut *tx)
        .await?;
    let known = |name: &str| known.as_ref().and_then(|row| row.get::<Option<String>, _>(name));
    let cut = |text: String| text.chars().take(MAX_TEXT).collect::<String>();
    let asked = asked.map(cut).or_else(|| known("asked"));
    let reply = reply.map(cut).or_else(|| known("reply"));
    let mut all = words(asked.as_deref().unwrap_or_default());
    all.extend(words(reply.as_deref().unwrap_or_default()));
    all.sort();
    all.dedup();
    sqlx::query(
        "INSERT INTO run_texts (run_seq, asked, reply, holder, words) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (run_seq) DO UPDATE SET asked = excluded.asked, reply = excluded.reply, \
         words = excluded.words",
    )
    .bind(seq)
    .bind(asked)
    .bind(reply)
    .bind(holder('u', user_id))
    .bind(all.join(" "))
    .execute(tx)
    .await?;
    Ok(())
}
