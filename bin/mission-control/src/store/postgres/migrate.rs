//! Brings the tables up to date, in one transaction and without anything that outlives it: sqlx's own
//! runner holds a lock of the session, which a pooler would hand to other applications.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

/// sqlx's table, whose form is kept: earlier versions of this program read it.
const TABLE: &str = "_sqlx_migrations";

/// Locks out other instances that start at this moment in the same schema.
const LOCK: &str = "SELECT 1 FROM (SELECT pg_advisory_xact_lock(hashtextextended(current_schema(), 812))) AS locked";

/// Migrations take as long as the session's own limit lets them.
const PATIENT: &str = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

const CREATE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (\
    version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), \
    success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)";

const INSERT: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
    VALUES ($1, $2, TRUE, $3, 0)";

/// How many migrations are still to be done, by what the schema holds; checks that the others are
/// those of this program.
pub(super) async fn pending(
    connection: &mut AnyConnection,
    migrator: &Migrator,
) -> Result<usize, MigrateError> {
    let there = "SELECT count(*) FROM pg_class WHERE relname = $1 AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())";
    let there: i64 = sqlx::query_scalar(there).bind(TABLE).fetch_one(&mut *connection).await?;
    if there == 0 {
        return Ok(migrator.iter().count());
    }
    let rows = sqlx::query("SELECT version, success, encode(checksum, 'hex') AS checksum FROM _sqlx_migrations ORDER BY version")
        .persistent(false)
        .fetch_all(connection)
        .await?;
    let mut done = 0;
    for row in rows {
        let version: i64 = row.get("version");
        let Some(known) = migrator.iter().find(|known| known.version == version) else {
            return Err(MigrateError::VersionMissing(version));
        };
        if !row.get::<bool, _>("success") {
            return Err(MigrateError::Dirty(version));
        }
        let checksum: String = known.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        if row.get::<String, _>("checksum") != checksum {
            return Err(MigrateError::VersionMismatch(version));
        }
        done += 1;
    }
    Ok(migrator.iter().count() - done)
}

/// Does what is pending, in the transaction that was begun.
pub(super) async fn run(tx: &mut AnyConnection, migrator: &Migrator) -> Result<(), MigrateError> {
    sqlx::raw_sql(PATIENT).execute(&mut *tx).await?;
    sqlx::raw_sql(LOCK).execute(&mut *tx).await?;
    sqlx::raw_sql(CREATE).execute(&mut *tx).await?;
    // Another instance may have done them meanwhile.
    let done = migrator.iter().count() - pending(tx, migrator).await?;
    for migration in migrator.iter().skip(done) {
        let sql = AssertSqlSafe(migration.sql.as_str().to_owned());
        let executed = sqlx::raw_sql(sql).execute(&mut *tx).await;
        executed.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
        sqlx::query(INSERT)
            .bind(migration.version)
            .bind(&*migration.description)
            .bind(migration.checksum.to_vec())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}
