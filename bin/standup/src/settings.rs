//! The standup's settings.

use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;
use mc_client::token::TokenMinter;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use service::agent_token;
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;
use wombat_core::session::{Role, UserId};
use wombat_core::zones::parse_zone;

/// What the flags ask for, as they were written.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `--tz`; `STANDUP_TIMEZONE` when absent.
    pub zone: Option<String>,
    /// `--user`; `USER_ID` when absent, and all users when that is absent, too.
    pub user: Option<String>,
    /// `--date`; today in the zone when absent.
    pub date: Option<String>,
}

/// Everything that the standup can be told (docs/CONFIGURATION.md).
#[derive(Debug)]
pub struct Settings {
    pub(crate) zone: Tz,
    pub(crate) user: Option<UserId>,
    pub(crate) date: Option<NaiveDate>,
    pub(crate) backend_url: String,
    pub(crate) asker: Asker,
    /// What works and should be mended.
    pub warning: Option<String>,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All of them as they are in force.
    pub effective: Effective,
}

/// In whose name the backend is asked.
#[derive(Debug)]
pub(crate) enum Asker {
    /// An agent, for its own user.
    Agent { minter: Arc<TokenMinter>, user: UserId, role: Role },
    /// A service, for one user or all.
    Internal(SecretString),
}

impl Settings {
    /// Reads and checks all settings, or names every problem.
    pub fn read(layers: &Layers, asked: &Asked) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let from_settings = reader.text("STANDUP_TIMEZONE", "UTC");
        let (name, zone) = match &asked.zone {
            Some(zone) => ("--tz", zone),
            None => ("STANDUP_TIMEZONE", &from_settings),
        };
        let zone = parse_zone(zone.trim()).unwrap_or_else(|error| {
            reader.problem(name, error);
            Tz::UTC
        });
        let (is_named, user) = user(&mut reader, asked);
        let date = asked.date.as_ref().and_then(|text| date(&mut reader, text));
        let backend_url = reader.url("BACKEND_URL", "http://localhost:8000");
        let internal = internal_token(&mut reader);
        if !is_named && internal.is_none() {
            let what = "is not set; the standup of all users needs it (or name one: --user)";
            reader.problem("INTERNAL_API_TOKEN", what);
        }
        let tokens = agent_token::read(&mut reader, is_named && internal.is_none());
        let role = reader.text("AGENT_ROLE", "agent");
        let role = Role::parse(&role).map_err(|error| reader.problem("AGENT_ROLE", error)).ok();
        let asker = match (user.clone(), tokens.minter, internal, role) {
            (Some(user), Some(minter), _, Some(role)) => Some(Asker::Agent { minter, user, role }),
            (_, _, Some(token), _) => Some(Asker::Internal(token)),
            // What is missing, or wrong with it, has been said.
            (_, _, None, _) => None,
        };
        let log_format = reader.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json");
        let log_filter = reader.text("RUST_LOG", "info");
        let effective = reader.finish()?;
        // `finish` has failed if there is nobody to ask.
        let Some(asker) = asker else {
            return Err(SettingsError(vec!["settings could not be read".to_owned()]));
        };
        Ok(Self {
            zone,
            user,
            date,
            backend_url,
            asker,
            warning: tokens.warning,
            log_format: log_format.unwrap_or_else(LogFormat::fitting),
            log_filter,
            effective,
        })
    }
}

/// A day of the calendar in the one form that the contract has: the parser would let blanks and
/// missing zeros pass.
fn date(reader: &mut Reader<'_>, text: &str) -> Option<NaiveDate> {
    let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
    if date.is_none() {
        reader.problem("--date", "must be a day such as 2026-01-31");
    }
    date
}

fn internal_token(reader: &mut Reader<'_>) -> Option<SecretString> {
    let token = reader.secret("INTERNAL_API_TOKEN")?;
    if HeaderValue::from_str(token.expose_secret()).is_err() {
        reader.problem("INTERNAL_API_TOKEN", "holds what cannot stand in an HTTP header");
    }
    Some(token)
}

/// Whether a user was named, and who.
fn user(reader: &mut Reader<'_>, asked: &Asked) -> (bool, Option<UserId>) {
    let from_settings = reader.optional("USER_ID");
    let (name, user) = match (&asked.user, from_settings) {
        (Some(user), _) => ("--user", user.clone()),
        (None, Some(user)) => ("USER_ID", user),
        (None, None) => return (false, None),
    };
    (true, UserId::parse(&user).map_err(|error| reader.problem(name, error)).ok())
}
