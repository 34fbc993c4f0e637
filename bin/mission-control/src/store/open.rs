//! Why a database could not be opened, and what an operator can do about it.

use sqlx::Error;
use sqlx::migrate::MigrateError;

/// Why a database could not be opened. The text holds no password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What is there cannot be used as it is; the sentence says what helps.
    #[error("{0}")]
    Refused(String),
    /// The database or the way to it failed.
    #[error("{}; {}", said(cause), advice(cause))]
    Failed {
        /// What it said.
        cause: Error,
    },
}

impl From<Error> for OpenError {
    fn from(cause: Error) -> Self {
        Self::Failed { cause }
    }
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Refused(format!(
                "migration {version} was made by another application or a newer version of this one; \
                 set MC_SCHEMA=wombat for a schema of its own, or start that version"
            )),
            MigrateError::VersionMismatch(version) => Self::Refused(format!(
                "migration {version} was made by another application; set MC_SCHEMA=wombat for a schema of its own"
            )),
            error => Self::Failed { cause: error.into() },
        }
    }
}

/// What a database said, without the line of its own source at which it said so.
pub(super) fn said(error: &Error) -> String {
    match error.as_database_error() {
        Some(error) => error.message().to_owned(),
        None => error.to_string(),
    }
}

/// What an operator can do about an error of the database.
fn advice(error: &Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    // SQLite's codes are numbers of up to four digits.
    if code.len() < 5 && !code.is_empty() {
        return "MC_DATA_DIR or DATABASE_URL names the file";
    }
    match (&*code, error) {
        ("28P01", _) => "correct the user and the password in DATABASE_URL",
        ("28000", _) => {
            "correct the user in DATABASE_URL, or let it in by pg_hba.conf (with TLS: ?sslmode=require)"
        }
        ("3D000", _) => "make it with createdb, or correct its name in DATABASE_URL",
        ("42501", _) => "the role of DATABASE_URL lacks a right there",
        ("53300", _) => {
            "raise max_connections or the role's CONNECTION LIMIT, or lower MC_DB_CONNECTIONS"
        }
        ("08P01", _) => {
            "the pooler does not take it; correct its settings, or give the server's own address in DATABASE_URL"
        }
        (_, Error::Tls(_)) => {
            "correct sslmode and sslrootcert in DATABASE_URL, or the server's certificate"
        }
        ("", Error::Io(_) | Error::PoolTimedOut) => {
            "start PostgreSQL, or correct the address in DATABASE_URL"
        }
        (_, _) => "the database of DATABASE_URL does not take it",
    }
}
