//! What the role may do in the schema: what it lacks is named with the statement that grants it.

use sqlx::{AnyConnection, AnyPool, Error, Row as _};

use super::plan::{identifier, shown};
use crate::store::open::{OpenError, said};

/// The program's tables. To the audit log is only added, unless its oldest entries expire.
const TABLES: [(&str, &str); 44] = [
    ("_sqlx_migrations", "SELECT"),
    ("approval_rule_uses", ALL),
    ("approval_rules", ALL),
    ("audit", "SELECT, INSERT"),
    ("audit_expired", ALL),
    ("audit_reasons", "SELECT, INSERT, DELETE"),
    ("audit_subjects", "SELECT, INSERT, DELETE"),
    ("budget_scopes", ALL),
    ("budget_warnings", ALL),
    ("budgets", ALL),
    ("dead_letter_digests", ALL),
    ("documents", ALL),
    ("erased_runs", ALL),
    ("erased_users", ALL),
    ("erasures", ALL),
    ("events", ALL),
    ("feedback", ALL),
    ("file_parts", ALL),
    ("files", ALL),
    ("heartbeats", ALL),
    ("idempotency", ALL),
    ("memories", ALL),
    ("messages", ALL),
    ("notifications", ALL),
    ("profiles", ALL),
    ("quiet_hours", ALL),
    ("reservations", ALL),
    ("run_artifacts", ALL),
    ("run_deltas", ALL),
    ("run_hours", ALL),
    ("run_labels", ALL),
    ("run_steps", ALL),
    ("run_texts", ALL),
    ("run_told", ALL),
    ("runs", ALL),
    ("schedule_slots", ALL),
    ("schedules", ALL),
    ("session_leases", ALL),
    ("shortlist", ALL),
    ("tasks", ALL),
    ("tool_requests", ALL),
    ("usage", ALL),
    ("wakes", ALL),
    ("write_turn", ALL),
];

const ALL: &str = "SELECT, INSERT, UPDATE, DELETE";

/// Finds or makes the schema, which the role may use.
pub(super) async fn schema(
    connection: &mut AnyConnection,
    schema: &str,
    role: &str,
    may_create: bool,
) -> Result<(), OpenError> {
    let (name, to) = (shown(schema), shown(role));
    let rights =
        "SELECT has_schema_privilege(oid, 'USAGE') AS may_use FROM pg_namespace WHERE nspname = $1";
    let row = sqlx::query(rights).bind(schema).fetch_optional(&mut *connection).await?;
    match row.map(|row| row.get::<bool, _>("may_use")) {
        Some(true) => Ok(()),
        Some(false) => Err(OpenError::Refused(format!(
            "role {to} may not use schema {name}: GRANT USAGE, CREATE ON SCHEMA {name} TO {to}"
        ))),
        None if !may_create => {
            Err(OpenError::Refused(format!("it has no schema {name}; correct MC_SCHEMA")))
        }
        None => {
            let statement = format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(schema));
            let made = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await;
            match made {
                Ok(_) => Ok(()),
                // Another instance made it at the same moment: duplicate_schema, unique_violation.
                Err(error) if ["42P06", "23505"].contains(&&*code(&error)) => Ok(()),
                Err(error) if code(&error) == "42501" => Err(OpenError::Refused(format!(
                    "it has no schema {name}, and role {to} may not make it: CREATE SCHEMA {name} AUTHORIZATION {to}"
                ))),
                Err(error) => Err(error.into()),
            }
        }
    }
}

/// Checks that the role may make tables there.
pub(super) async fn to_create(
    connection: &mut AnyConnection,
    schema: &str,
    role: &str,
) -> Result<(), OpenError> {
    let rights = "SELECT has_schema_privilege($1, 'CREATE')";
    let may: bool = sqlx::query_scalar(rights).bind(schema).fetch_one(connection).await?;
    if may {
        return Ok(());
    }
    let (name, to) = (shown(schema), shown(role));
    let other = match schema {
        // The rule since PostgreSQL 15.
        "public" => format!(
            "; or give it a schema of its own, CREATE SCHEMA wombat AUTHORIZATION {to}, and set MC_SCHEMA=wombat"
        ),
        _ => String::new(),
    };
    Err(OpenError::Refused(format!(
        "role {to} may not create tables in schema {name}: GRANT CREATE ON SCHEMA {name} TO {to}{other}"
    )))
}

/// Checks what the role may do with the tables.
pub(super) async fn to_tables(
    connection: &mut AnyConnection,
    schema: &str,
    role: &str,
) -> Result<(), OpenError> {
    let names = TABLES.map(|(name, _)| format!("'{name}'")).join(", ");
    let query = format!(
        "SELECT c.relname::text AS name, row_security_active(c.oid) AS is_filtered, \
         has_table_privilege(c.oid, 'SELECT') AS s, has_table_privilege(c.oid, 'INSERT') AS i, \
         has_table_privilege(c.oid, 'UPDATE') AS u, has_table_privilege(c.oid, 'DELETE') AS d \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname IN ({names}) ORDER BY c.relname"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query)).persistent(false).bind(schema);
    let rows = query.fetch_all(connection).await?;
    let (name, to) = (shown(schema), shown(role));
    for row in rows {
        let table: String = row.get("name");
        if row.get("is_filtered") {
            return Err(OpenError::Refused(format!(
                "row-level security hides rows of table {name}.{table} from role {to}: ALTER ROLE {to} BYPASSRLS"
            )));
        }
        let needed =
            TABLES.iter().find(|(name, _)| *name == table).map_or("", |(_, rights)| rights);
        let lacking: Vec<_> = [("SELECT", "s"), ("INSERT", "i"), ("UPDATE", "u"), ("DELETE", "d")]
            .into_iter()
            .filter(|(right, column)| needed.contains(right) && !row.get::<bool, _>(*column))
            .map(|(right, _)| right)
            .collect();
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            return Err(OpenError::Refused(format!(
                "role {to} lacks {lacking} on table {name}.{table}: GRANT {ALL} ON ALL TABLES IN SCHEMA {name} TO {to}"
            )));
        }
    }
    Ok(())
}

/// Refuses a role that may not delete the oldest entries of the audit log, which nothing but their expiry needs.
pub(in crate::store) async fn to_expire(reader: &AnyPool, schema: &str) -> Result<(), OpenError> {
    let asked =
        "SELECT CAST(current_user AS TEXT) AS role, has_table_privilege('audit', 'DELETE') AS may";
    let row = sqlx::query(asked).persistent(false).fetch_one(reader).await?;
    if row.get::<bool, _>("may") {
        return Ok(());
    }
    let (name, to) = (shown(schema), shown(&row.get::<String, _>("role")));
    Err(OpenError::Refused(format!(
        "role {to} may not delete the oldest entries of the audit log, as MC_RETENTION asks: \
         GRANT DELETE ON {name}.audit TO {to}, or leave audit out of MC_RETENTION"
    )))
}

/// What a failed migration needs.
pub(super) fn of_migration(error: &Error, schema: &str, role: &str) -> Option<String> {
    let (name, to) = (shown(schema), shown(role));
    match code(error).as_str() {
        "42501" => Some(format!(
            "{}; the tables of an earlier version are changed by their owner: start this version once as the owner, or GRANT the owner's role TO {to}",
            said(error)
        )),
        "42P07" | "42710" | "42723" => Some(format!(
            "{}; schema {name} has tables of another application: give this backend a schema of its own with MC_SCHEMA=wombat",
            said(error)
        )),
        _ => None,
    }
}

fn code(error: &Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::migrations;

    #[test]
    fn the_rights_to_every_table_are_checked() {
        let mut made = BTreeSet::from(["_sqlx_migrations".to_owned()]);
        for migration in migrations::postgres().iter() {
            let sql = migration.sql.as_str();
            let names = sql.split("CREATE TABLE ").skip(1);
            made.extend(names.filter_map(|rest| Some(rest.split_whitespace().next()?.to_owned())));
            assert!(
                !sql.contains("DROP TABLE") && !sql.contains("RENAME TO"),
                "read them here, too"
            );
        }
        assert_eq!(made, TABLES.map(|(name, _)| name.to_owned()).into());
    }
}
