//! All tables that hold something of users, as the database itself names them, and a row in each.

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

use crate::erasing::{CANARY, USER};
use crate::harness::on_postgres;

/// Tables that hold nothing of a user: the log of acts, and what tells that something was erased.
const NOBODYS: [&str; 8] =
    ["_sqlx_migrations", "audit", "audit_expired", "erased_runs", "erased_users", "erasures", "run_hours", "write_turn"];

/// Filled by acts, not by hand.
const OF_THE_LOG: [&str; 2] = ["audit_reasons", "audit_subjects"];

/// Filled first: others refer to them.
const FIRST: [&str; 4] = ["tasks", "runs", "files", "approval_rules"];

/// A table, and its columns with their types.
pub(crate) struct Table {
    pub(crate) name: String,
    columns: Vec<(String, String)>,
}

/// All that may hold something of a user. A new one is among them, unless it is named above.
pub(crate) async fn tables(database: &mut AnyConnection) -> Vec<Table> {
    let sql = match on_postgres() {
        true => {
            "SELECT CAST(c.table_name AS TEXT), CAST(c.column_name AS TEXT), CAST(c.data_type AS TEXT) \
             FROM information_schema.columns c JOIN information_schema.tables t \
               ON t.table_name = c.table_name AND t.table_schema = c.table_schema \
             WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' ORDER BY 1, c.ordinal_position"
        }
        false => {
            "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '%_fts%' ORDER BY 1, c.cid"
        }
    };
    let rows = sqlx::query(sql).fetch_all(database).await.unwrap();
    let mut all = Vec::<Table>::new();
    for row in &rows {
        let (name, column, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        if NOBODYS.contains(&&*name) {
            continue;
        }
        if all.last().is_none_or(|last| last.name != name) {
            all.push(Table { name, columns: Vec::new() });
        }
        all.last_mut().unwrap().columns.push((column, kind.to_ascii_lowercase()));
    }
    assert!(all.len() > 30, "{}", all.len());
    all.sort_by_key(|table| FIRST.iter().position(|first| *first == table.name).unwrap_or(FIRST.len()));
    all
}

/// A value of a row of the user, as SQL.
fn value(table: &str, column: &str, kind: &str) -> String {
    const SEQ: i64 = 777_777;
    match (column, kind) {
        ("user_id", _) => format!("'{USER}'"),
        ("task_id", _) => format!("'{CANARY}-tasks-id'"),
        // What stays in sums that name nobody.
        ("role" | "model" | "tenant_id", _) if table == "usage" => "'plain'".to_owned(),
        // One that is open would be cancelled, which is an act with its key and role.
        ("status", _) if table == "runs" => "'completed'".to_owned(),
        // Its hour is kept without the run.
        ("created_at", _) if table == "runs" => "'2026-03-04T10:00:00.000000Z'".to_owned(),
        ("seq" | "run_seq" | "file_seq" | "rule_seq", _) => SEQ.to_string(),
        (_, "bytea") => format!("'{CANARY}'::bytea"),
        (_, "blob") => format!("CAST('{CANARY}' AS BLOB)"),
        (_, "text") => format!("'{CANARY}-{table}-{column}'"),
        (_, "integer" | "bigint" | "real" | "double precision") => "1".to_owned(),
        (_, other) => panic!("{table}.{column} is of a type that this test does not know: {other}"),
    }
}

/// Makes a row whose every text holds the word.
pub(crate) async fn fill(database: &mut AnyConnection, table: &Table) {
    if OF_THE_LOG.contains(&&*table.name) {
        return;
    }
    // An event's number is given by the database.
    let columns = table.columns.iter().filter(|(name, _)| (&*table.name, &**name) != ("events", "id"));
    let (names, values): (Vec<_>, Vec<_>) =
        columns.map(|(name, kind)| (name.as_str(), value(&table.name, name, kind))).unzip();
    let sql = format!("INSERT INTO {} ({}) VALUES ({})", table.name, names.join(", "), values.join(", "));
    if let Err(error) = database.execute(AssertSqlSafe(sql)).await {
        panic!("{}: {error}", table.name);
    }
}

/// In how many rows of a table a word stands.
pub(crate) async fn mentions(database: &mut AnyConnection, table: &Table, word: &str) -> i64 {
    let columns = table.columns.iter().map(|(name, kind)| match kind.as_str() {
        "bytea" => format!("encode({name}, 'escape') LIKE '%{word}%'"),
        _ => format!("CAST({name} AS TEXT) LIKE '%{word}%'"),
    });
    let condition = columns.collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT count(*) FROM {} WHERE {condition}", table.name);
    sqlx::query(AssertSqlSafe(sql)).fetch_one(database).await.unwrap().get(0)
}
