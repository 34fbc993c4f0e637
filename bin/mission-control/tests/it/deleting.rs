//! What docs/HOWTO.md says to delete a user's data with: it leaves nothing of the user, and nothing else
//! goes.

use serde_json::json;
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

use crate::harness::{Backend, Caller, on_postgres};

/// The statements of the page, for this user instead of its example's.
fn statements(user: &str) -> String {
    let page = include_str!("../../../../docs/HOWTO.md");
    let (_, section) = page.split_once("## Delete a user's data\n").unwrap();
    let (_, sql) = section.split_once("```sql\n").unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    assert!(sql.contains("'ann'"), "{sql}");
    sql.replace("'ann'", &format!("'{user}'"))
}

/// The tables that say whose a row is.
async fn tables(database: &mut AnyConnection) -> Vec<String> {
    let sql = match on_postgres() {
        true => {
            "SELECT CAST(table_name AS TEXT) FROM information_schema.columns \
             WHERE column_name = 'user_id' AND table_schema = current_schema() ORDER BY 1"
        }
        false => {
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name = 'user_id' ORDER BY 1"
        }
    };
    let rows = sqlx::query(sql).fetch_all(database).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0)).collect()
}

async fn rows(database: &mut AnyConnection, table: &str, user: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table} WHERE user_id = '{user}'"));
    sqlx::query(sql).fetch_one(database).await.unwrap().get(0)
}

/// One thing of most kinds.
async fn use_it(backend: &Backend, user: &str) {
    let (agent, person): (Caller, Caller) = (backend.agent(user, "scout"), backend.person(user));
    let task = agent.task("a task").await;
    let step = json!({ "seq": 0, "kind": "request", "data": {} });
    agent.post(&format!("/runs/run-{user}/steps"), step).await;
    let memory = json!({ "scope": "user", "text": "likes the beach" });
    person.post("/memories", memory).await.ok();
    let schedule = json!({
        "cron": "0 9 * * mon", "timezone": "Europe/Berlin", "role": "scout", "content": "a reminder",
    });
    person.post("/schedules", schedule).await.ok();
    backend.internal().put(&format!("/profile?user_id={user}"), json!({})).await.ok();
    let limit = json!({ "user_id": user, "limit_usd": 5, "period": "month" });
    backend.internal().put("/budget", limit).await.ok();
    assert!(!task.is_empty());
}

#[tokio::test]
async fn the_statements_of_the_page_leave_nothing_of_a_user_and_all_of_others() {
    let backend = Backend::start().await;
    for user in ["ann", "bob"] {
        use_it(&backend, user).await;
    }
    let sql = statements("ann");
    let mut database = backend.database().await;
    let tables = tables(&mut database).await;
    assert!(tables.len() > 15, "{tables:?}");
    let mut of_bob = Vec::new();
    for table in &tables {
        let named = sql.contains(&format!("DELETE FROM {table} WHERE user_id = 'ann';"));
        assert!(named, "docs/HOWTO.md does not delete from {table}");
        of_bob.push(rows(&mut database, table, "bob").await);
    }
    let filled = of_bob.iter().filter(|rows| **rows > 0).count();
    assert!(filled >= 6, "{tables:?} {of_bob:?}");
    database.execute(AssertSqlSafe(sql)).await.unwrap();
    for (table, of_bob) in tables.iter().zip(of_bob) {
        assert_eq!(rows(&mut database, table, "ann").await, 0, "{table}");
        assert_eq!(rows(&mut database, table, "bob").await, of_bob, "{table}");
    }
}
