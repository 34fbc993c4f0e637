//! The options of a session, which travel in a URL through sqlx's `Any`.

use std::io;
use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Error, PgConnection, Row as _,
    SqlSafeStr as _, SqlStr,
};
use url::Url;

use super::{LONG, Session, Standby, Use, within};
use crate::store::postgres::address::{Address, word_of};

/// The scheme of the URLs that lead to this driver.
pub(super) const SCHEME: &str = "wombat-postgres";

/// The parameter that holds what begins a transaction of a stateless session.
const ALONE: &str = "wombat.alone";

/// The parameter that holds another limit than [`LONG`], in seconds.
const LIMIT: &str = "wombat.limit";

/// The parameter of sessions that a standby must not serve.
const PRIMARY: &str = "wombat.primary";

/// The timeout of a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Options of a session for [`sqlx::any`]. `settings` are for the session's whole life, in the
/// start-up message; `alone` begins the transaction of a single statement in a stateless session.
pub(in crate::store::postgres) fn any_options(
    address: &Address,
    settings: &[(&str, String)],
    alone: Option<&str>,
) -> Result<AnyConnectOptions, Error> {
    let mut url = Url::parse(address.url()).map_err(|error| Error::Configuration(error.into()))?;
    // Between schemes without rules of their own nothing is in the way.
    let _changed = url.set_scheme(SCHEME);
    {
        let mut pairs = url.query_pairs_mut();
        for (name, value) in settings {
            pairs.append_pair("options", &format!("-c {name}={}", word_of(value)));
        }
        if let Some(alone) = alone {
            pairs.append_pair(ALONE, alone);
        }
    }
    AnyConnectOptions::from_url(&url)
}

/// The same session with another timeout of a statement's next row.
pub(in crate::store::postgres) fn with_limit(
    mut options: AnyConnectOptions,
    limit: Duration,
) -> AnyConnectOptions {
    let seconds = limit.as_secs().to_string();
    options.database_url.query_pairs_mut().append_pair(LIMIT, &seconds);
    options
}

/// The same session, which a standby must not serve: it shows what was written a while ago, and takes
/// no writes.
pub(in crate::store::postgres) fn of_primary(mut options: AnyConnectOptions) -> AnyConnectOptions {
    options.database_url.query_pairs_mut().append_pair(PRIMARY, "true");
    options
}

/// Options of one session.
#[derive(Debug, Clone)]
pub(in crate::store::postgres) struct SessionOptions {
    postgres: PgConnectOptions,
    alone: Option<SqlStr>,
    limit: Duration,
    is_of_primary: bool,
}

impl SessionOptions {
    pub(super) fn of_url(url: &Url) -> Result<Self, Error> {
        let mut url = url.clone();
        let _changed = url.set_scheme("postgres");
        let (mut alone, mut limit, mut is_of_primary) = (None, LONG, false);
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear();
        for (name, value) in pairs {
            match &*name {
                ALONE => alone = Some(AssertSqlSafe(value).into_sql_str()),
                PRIMARY => is_of_primary = true,
                LIMIT => limit = value.parse().map_or(LONG, Duration::from_secs),
                _ => {
                    url.query_pairs_mut().append_pair(&name, &value);
                }
            }
        }
        // PgBouncer refuses the parameter, and no number here has digits after the point.
        let mut postgres = PgConnectOptions::from_url(&url)?.extra_float_digits(None);
        if postgres.get_application_name().is_none() {
            postgres = postgres.application_name("wombat-mission-control");
        }
        if alone.is_some() {
            postgres = postgres.statement_cache_capacity(0);
        }
        Ok(Self { postgres, alone, limit, is_of_primary })
    }

    pub(super) async fn connect(&self) -> Result<Session, Error> {
        let connected = within(CONNECT_TIMEOUT, self.open()).await;
        if let Err(error) = &connected {
            tracing::debug!(%error, "no connection to PostgreSQL");
        }
        let (inner, alone) = (connected?, self.alone.clone());
        let use_of = Use::default();
        Ok(Session { inner, alone, limit: self.limit, use_of, is_halfway: false })
    }

    async fn open(&self) -> Result<PgConnection, Error> {
        let mut connection = self.postgres.connect().await.map_err(unanswered)?;
        // No statement is prepared: a pooler may be between.
        let asks = sqlx::raw_sql("SELECT pg_is_in_recovery()");
        if self.is_of_primary && asks.fetch_one(&mut connection).await?.try_get(0)? {
            let _closed = connection.close().await;
            return Err(Error::Io(io::Error::other(Standby)));
        }
        Ok(connection)
    }
}

/// The error of a new connection. A proxy that reaches no server ends it before anything is answered,
/// for which sqlx blames the protocol.
fn unanswered(error: Error) -> Error {
    match error {
        Error::Protocol(text) if text.contains("response from SSLRequest: 0x00") => {
            let why = "the connection was closed before anything was answered";
            Error::Io(io::Error::new(io::ErrorKind::UnexpectedEof, why))
        }
        error => error,
    }
}

impl TryFrom<&AnyConnectOptions> for SessionOptions {
    type Error = Error;

    fn try_from(options: &AnyConnectOptions) -> Result<Self, Error> {
        let mut own = Self::of_url(&options.database_url)?;
        let log = &options.log_settings;
        own.postgres = own
            .postgres
            .log_statements(log.statements_level)
            .log_slow_statements(log.slow_statements_level, log.slow_statements_duration);
        Ok(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_waited_for_longer_than_other_statements() {
        let address = Address::parse("postgres://u:p@h/d").unwrap();
        let options = any_options(&address, &[], None).unwrap();
        let of = |options: &AnyConnectOptions| SessionOptions::try_from(options).unwrap().limit;
        assert_eq!(of(&options), LONG);
        let hour = Duration::from_secs(3600);
        assert_eq!(of(&with_limit(options, hour)), hour);
    }
}
