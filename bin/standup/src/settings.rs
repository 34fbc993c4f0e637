//! The standup's settings.

use std::sync::Arc;

use chrono::NaiveDate;
use mc_client::token::TokenMinter;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use service::agent_token;
use service::backend_address::BackendAddress;
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;
use wombat_core::session::{Role, UserId};
use zones::Zone;
use zones::parse_zone;

/// What the flags ask for, unparsed.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// `--tz`; `STANDUP_TIMEZONE` when absent.
    pub zone: Option<String>,
    /// `--user`; `USER_ID` when absent; all users when that is absent as well.
    pub user: Option<String>,
    /// `--date`; today in the time zone when absent.
    pub date: Option<String>,
}

/// The standup's settings (docs/CONFIGURATION.md).
#[derive(Debug)]
pub struct Settings {
    pub(crate) zone: Zone,
    pub(crate) user: Option<UserId>,
    pub(crate) date: Option<NaiveDate>,
    pub(crate) backend: BackendAddress,
    pub(crate) caller: Caller,
    /// A problem that does not prevent the standup.
    pub warning: Option<String>,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All settings in force, for `config`.
    pub effective: Effective,
}

/// Who requests the standup.
#[derive(Debug)]
pub(crate) enum Caller {
    /// An agent, with an agent token, for its own user.
    Agent { minter: Arc<TokenMinter>, user: UserId, role: Role },
    /// A service, with the internal token, for one user or all.
    Internal(SecretString),
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn read(layers: &Layers, query: &Query) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let from_settings = reader.text("STANDUP_TIMEZONE", "UTC");
        let (name, zone) = match &query.zone {
            Some(zone) => ("--tz", zone),
            None => ("STANDUP_TIMEZONE", &from_settings),
        };
        let zone = parse_zone(zone.trim()).unwrap_or_else(|error| {
            reader.problem(name, error);
            Zone::UTC
        });
        let (is_named, user) = user(&mut reader, query);
        let date = query.date.as_ref().and_then(|text| date(&mut reader, text));
        let backend = BackendAddress::read(&mut reader);
        let internal = internal_token(&mut reader);
        if !is_named && internal.is_none() {
            let what = "is not set; the standup of all users needs it (or name one: --user)";
            reader.problem("INTERNAL_API_TOKEN", what);
        }
        let tokens = agent_token::read(&mut reader, is_named && internal.is_none());
        let role = reader.text("AGENT_ROLE", "agent");
        let role = Role::parse(&role).map_err(|error| reader.problem("AGENT_ROLE", error)).ok();
        let caller = match (user.clone(), tokens.minter, internal, role) {
            (Some(user), Some(minter), _, Some(role)) => Some(Caller::Agent { minter, user, role }),
            (_, _, Some(token), _) => Some(Caller::Internal(token)),
            // The reason is among the reader's problems already.
            (_, _, None, _) => None,
        };
        let log_format = reader.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json");
        let log_filter = reader.text("RUST_LOG", "info");
        let effective = reader.finish()?;
        // Without a caller `finish` has failed.
        let Some(caller) = caller else {
            return Err(SettingsError(vec!["settings could not be read".to_owned()]));
        };
        Ok(Self {
            zone,
            user,
            date,
            backend,
            caller,
            warning: tokens.warning,
            log_format: log_format.unwrap_or_else(LogFormat::fitting),
            log_filter,
            effective,
        })
    }
}

/// A calendar day in the contract's only format: the parser alone would accept blanks and missing
/// zeros.
fn date(reader: &mut Reader<'_>, text: &str) -> Option<NaiveDate> {
    let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
    if date.is_none() {
        reader.problem("--date", "must be a date such as 2026-01-31");
    }
    date
}

fn internal_token(reader: &mut Reader<'_>) -> Option<SecretString> {
    let token = reader.secret("INTERNAL_API_TOKEN")?;
    if HeaderValue::from_str(token.expose_secret()).is_err() {
        reader
            .problem("INTERNAL_API_TOKEN", "contains characters that an HTTP header cannot carry");
    }
    Some(token)
}

/// Whether a user was given, and who.
fn user(reader: &mut Reader<'_>, query: &Query) -> (bool, Option<UserId>) {
    let from_settings = reader.optional("USER_ID");
    let (name, user) = match (&query.user, from_settings) {
        (Some(user), _) => ("--user", user.clone()),
        (None, Some(user)) => ("USER_ID", user),
        (None, None) => return (false, None),
    };
    (true, UserId::parse(&user).map_err(|error| reader.problem(name, error)).ok())
}
