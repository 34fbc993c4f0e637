//! Runs with their steps, texts, ratings and labels, made by the database itself.

use std::io::Result;

use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use super::failed;

/// How many runs are made in one transaction.
const BATCH: i64 = 50_000;

/// The users beside `u0`, whose every second run is.
const USERS: i64 = 2_000;

/// The first run's time, seconds of Unix time: the beginning of 2026. One begins every ten seconds.
const BEGIN: i64 = 1_767_225_600;

/// What each statement begins with: the numbers of a batch's runs.
const NUMBERS: &str = "WITH RECURSIVE n (i) AS (SELECT CAST($1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < $2)";

/// `@AT` stands for the time at which a run begins, `@PAST` for 64 characters with its number, `@OLD` for the last run
/// with the old workspace.
const RUNS: &str = "@NUMBERS INSERT INTO runs (seq, run_key, user_id, role, status, session_key, workspace_digest, \
    profile_digest, workspace, extra, created_at, updated_at, model, provider, message_id, error_code, used, cost_usd, \
    ended_at, duration_ms, step_count, up_count, down_count, labels) \
    SELECT n.i, @PAST, u.id, CASE WHEN n.i % 1000 = 1 THEN 'rare' WHEN n.i % 10 = 3 THEN 'writer' ELSE 'scout' END, \
    CASE WHEN n.i % 1000 = 2 THEN 'awaiting_approval' WHEN n.i % 25 = 3 THEN 'failed' ELSE 'completed' END, \
    'user:' || u.id || ':scout', CASE WHEN n.i <= @OLD THEN 'old-workspace' ELSE 'new-workspace' END, \
    CASE WHEN n.i % 3 = 0 THEN 'profile-' || (n.i % 7) END, 'default', '{}', @AT, @AT, \
    CASE WHEN n.i % 1000 = 4 THEN 'rare' WHEN n.i % 5 = 1 THEN 'm2' ELSE 'm1' END, 'offline', @PAST, \
    CASE WHEN n.i % 25 = 3 THEN 'timeout' END, \
    '{\"prompt_tokens\": 1200, \"completion_tokens\": 130, \"total_tokens\": 1330}', 0.0012, @AT, n.i % 9000, @STEPS, \
    CASE WHEN n.i % 50 = 5 THEN 1 ELSE 0 END, CASE WHEN n.i % 200 = 6 THEN 1 ELSE 0 END, \
    CASE WHEN n.i % 100 = 7 THEN '[\"billing\"]' WHEN n.i % 10000 = 8 THEN '[\"rare\"]' ELSE '[]' END \
    FROM n JOIN bench_users u ON u.i = CASE WHEN n.i % 2 = 0 THEN 0 ELSE 1 + n.i / 2 % @USERS END";

const RUN_STEPS: &str = "@NUMBERS, k (k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM k WHERE k < @STEPS - 1) \
    INSERT INTO run_steps (run_seq, step_index, kind, payload, created_at) SELECT n.i, k.k, \
    CASE WHEN k.k = 0 THEN 'request' WHEN k.k % 2 = 1 THEN 'llm' ELSE 'tool' END, \
    '{\"n\": ' || n.i || ', \"content\": \"a step as long as short ones are, with a few words\"}', @AT \
    FROM n CROSS JOIN k";

/// Words as the backend keeps them: one in all texts, one in each tenth, in each thousandth, in one, and some others.
const RUN_TEXTS: &str = "@NUMBERS INSERT INTO run_texts (run_seq, asked, reply, holder, words) SELECT n.i, \
    'please look for what is common in number ' || n.i, 'that is what was found and more of it, number ' || n.i, \
    u.holder, 'common' || CASE WHEN n.i % 10 = 9 THEN ' often' ELSE '' END || \
    CASE WHEN n.i % 1000 = 9 THEN ' seldom' ELSE '' END || ' word' || n.i || ' v' || (n.i * 7919 % 20011) || \
    ' v' || (n.i * 104729 % 20021) || ' v' || (n.i * 1299709 % 20023) || ' v' || (n.i * 15485863 % 20029) \
    FROM n JOIN bench_users u ON u.i = CASE WHEN n.i % 2 = 0 THEN 0 ELSE 1 + n.i / 2 % @USERS END";

const RUN_LABELS: &str = "@NUMBERS INSERT INTO run_labels (label, run_seq, user_id) SELECT \
    CASE WHEN n.i % 100 = 7 THEN 'billing' ELSE 'rare' END, n.i, u.id \
    FROM n JOIN bench_users u ON u.i = CASE WHEN n.i % 2 = 0 THEN 0 ELSE 1 + n.i / 2 % @USERS END \
    WHERE n.i % 100 = 7 OR n.i % 10000 = 8";

/// The word that the backend keeps with a text for whose it is.
fn holder(user: &str) -> String {
    let digest: String =
        Sha256::digest(user.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("u{}", &digest[..32])
}

/// Makes so many runs, each of so many steps.
pub(super) async fn fill(url: &str, runs: i64, steps: i64) -> Result<()> {
    let is_file = url.starts_with("sqlite:");
    let mut database = AnyConnection::connect(url).await.map_err(failed)?;
    if is_file {
        let quick =
            "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; PRAGMA foreign_keys = OFF";
        database.execute(quick).await.map_err(failed)?;
    }
    let users = "CREATE TABLE bench_users (i BIGINT PRIMARY KEY, id TEXT, holder TEXT)";
    database.execute(users).await.map_err(failed)?;
    for i in 0..=USERS {
        let id = format!("u{i}");
        let user = sqlx::query("INSERT INTO bench_users VALUES ($1, $2, $3)");
        user.bind(i).bind(&id).bind(holder(&id)).execute(&mut database).await.map_err(failed)?;
    }
    let at = match is_file {
        true => {
            format!("strftime('%Y-%m-%dT%H:%M:%S', {BEGIN} + n.i * 10, 'unixepoch') || '.000000Z'")
        }
        false => format!(
            "to_char(to_timestamp({BEGIN} + n.i * 10) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS') || '.000000Z'"
        ),
    };
    let past = format!("'{}' || (10000000 + n.i)", "f".repeat(56));
    let written = [
        ("@NUMBERS", NUMBERS.to_owned()),
        ("@AT", at),
        ("@PAST", past),
        ("@OLD", (runs * 6 / 10).to_string()),
        ("@STEPS", steps.to_string()),
        ("@USERS", USERS.to_string()),
    ];
    let statements = [RUNS, RUN_STEPS, RUN_TEXTS, RUN_LABELS].map(|text| {
        let write = |text: String, (name, value): &(&str, String)| text.replace(name, value);
        written.iter().fold(text.to_owned(), write)
    });
    let mut first = 1;
    while first <= runs {
        let last = runs.min(first + BATCH - 1);
        let mut all = database.begin().await.map_err(failed)?;
        for text in &statements {
            let made = sqlx::query(AssertSqlSafe(text.clone())).bind(first).bind(last);
            made.execute(&mut *all).await.map_err(failed)?;
        }
        all.commit().await.map_err(failed)?;
        first = last + 1;
    }
    database.execute("DROP TABLE bench_users").await.map_err(failed)?;
    if !is_file {
        // What its own cleaner does in its time.
        database.execute("VACUUM ANALYZE").await.map_err(failed)?;
    }
    database.close().await.map_err(failed)
}
