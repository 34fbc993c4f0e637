//! The options of a session, which travel in a URL through sqlx's `Any`.

use std::time::Duration;

use sqlx::any::AnyConnectOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Error, SqlSafeStr as _, SqlStr};
use url::Url;

use super::{LONG, Session, within};
use crate::store::postgres::address::{Address, word_of};

/// The scheme of the URLs that lead to this driver.
pub(super) const SCHEME: &str = "wombat-postgres";

/// The parameter that holds what begins a transaction of a stateless session.
const ALONE: &str = "wombat.alone";

/// The parameter that holds another limit than [`LONG`], in seconds.
const LIMIT: &str = "wombat.limit";

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

/// Options of one session.
#[derive(Debug, Clone)]
pub(in crate::store::postgres) struct SessionOptions {
    postgres: PgConnectOptions,
    alone: Option<SqlStr>,
    limit: Duration,
}

impl SessionOptions {
    pub(super) fn of_url(url: &Url) -> Result<Self, Error> {
        let mut url = url.clone();
        let _changed = url.set_scheme("postgres");
        let (mut alone, mut limit) = (None, LONG);
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear();
        for (name, value) in pairs {
            match &*name {
                ALONE => alone = Some(AssertSqlSafe(value).into_sql_str()),
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
        Ok(Self { postgres, alone, limit })
    }

    pub(super) async fn connect(&self) -> Result<Session, Error> {
        let connected = within(CONNECT_TIMEOUT, self.postgres.connect()).await;
        if let Err(error) = &connected {
            tracing::debug!(%error, "no connection to PostgreSQL");
        }
        let (inner, alone) = (connected?, self.alone.clone());
        Ok(Session { inner, alone, limit: self.limit, is_broken: false, is_halfway: false })
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
