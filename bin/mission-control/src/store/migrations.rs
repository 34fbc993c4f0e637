//! The migrations, built into the program. sqlx's macro `migrate!` would do the same, but brings
//! its drivers into the build a second time, for the compiler.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// One migration: its number, its name, and its text for each kind of database.
struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// A [`Step`] from the files `<version>_<name>.sql` of both folders.
macro_rules! step {
    ($version:literal, $digits:literal, $name:literal) => {
        Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../migrations/sqlite/", $digits, "_", $name, ".sql")),
            postgres: include_str!(concat!(
                "../../migrations/postgres/",
                $digits,
                "_",
                $name,
                ".sql"
            )),
        }
    };
}

/// All migrations. A file that has been released is never changed: databases keep its checksum.
const STEPS: [Step; 28] = [
    step!(1, "0001", "start"),
    step!(2, "0002", "wakes"),
    step!(3, "0003", "leased"),
    step!(4, "0004", "runs"),
    step!(5, "0005", "tool_requests"),
    step!(6, "0006", "session_leases"),
    step!(7, "0007", "budgets"),
    step!(8, "0008", "events"),
    step!(9, "0009", "shortlist"),
    step!(10, "0010", "fresh"),
    step!(11, "0011", "columns"),
    step!(12, "0012", "audit"),
    step!(13, "0013", "roles"),
    step!(14, "0014", "notes"),
    step!(15, "0015", "run_stream"),
    step!(16, "0016", "message_data"),
    step!(17, "0017", "files"),
    step!(18, "0018", "decisions"),
    step!(19, "0019", "children"),
    step!(20, "0020", "profiles"),
    step!(21, "0021", "memories"),
    step!(22, "0022", "schedules"),
    step!(24, "0024", "run_lists"),
    step!(25, "0025", "budget_scopes"),
    step!(26, "0026", "delivery_options"),
    step!(27, "0027", "owned_data"),
    step!(29, "0029", "long_lists"),
    step!(30, "0030", "artifacts"),
];

/// The migrations of a SQLite file.
pub(super) fn sqlite() -> Migrator {
    migrator(|step| step.sqlite)
}

/// The migrations of a PostgreSQL database.
pub(super) fn postgres() -> Migrator {
    migrator(|step| step.postgres)
}

fn migrator(sql: fn(&Step) -> &'static str) -> Migrator {
    let migration = |step: &Step| {
        // The description as sqlx derives it from a file's name.
        let description = Cow::Owned(step.name.replace('_', " "));
        let sql = sql(step).into_sql_str();
        Migration::new(step.version, description, MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(STEPS.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What is built in is what sqlx reads from the folder: no file is missing, and a database that
    /// was made before recognises each.
    #[tokio::test]
    async fn every_file_is_built_in_with_its_checksum() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        for (name, built_in) in [("sqlite", sqlite()), ("postgres", postgres())] {
            let files = Migrator::new(folder.join(name)).await.unwrap();
            let of = |migrator: &Migrator| {
                let all = migrator.iter().map(|migration| {
                    let Migration { version, description, migration_type, checksum, no_tx, .. } =
                        migration.clone();
                    (version, description, migration_type, checksum, no_tx)
                });
                all.collect::<Vec<_>>()
            };
            assert_eq!(of(&built_in), of(&files), "{name}");
        }
    }
}
