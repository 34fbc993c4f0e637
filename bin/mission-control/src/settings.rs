//! The operator's settings: flags, environment and settings file, checked all at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mc_client::token::{Algorithm, Key, TokenVerifier};
use service::forwarded::{Front, TrustedProxies};
use service::otel::OtelSettings;
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;

use crate::config::Config;
use crate::deltas::{DeltasConfig, StreamUrl};
use crate::login::password::BoardPassword;
use crate::login::proxy::ProxyLogin;
use crate::mentions::is_role;
use crate::store::artifacts::ArtifactLimits;
use crate::store::budgets::Nanos;
use crate::store::database::{CONNECTIONS, Database, MIN_CONNECTIONS};
use crate::store::files::FileLimits;
use crate::store::retention::Retention;

/// The settings in force.
#[derive(Debug)]
pub struct Settings {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 for a free one.
    pub port: u16,
    /// What the backend itself needs.
    pub config: Config,
    /// Where traces go.
    pub otel: OtelSettings,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written, as `RUST_LOG` has it.
    pub log_filter: String,
    /// Each setting with where it came from.
    pub effective: Effective,
}

/// Reads all settings. The error names every one that is wrong.
pub fn read(layers: &Layers) -> Result<Settings, SettingsError> {
    let mut r = Reader::new(layers);
    let host: Option<IpAddr> = r.parse("MC_HOST", "127.0.0.1", "an IP address");
    let host = host.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let port = r.number("MC_PORT", 8000_u16, 0..=u16::MAX);
    let data_dir = PathBuf::from(r.text("MC_DATA_DIR", "./data"));
    let database = database(&mut r, &data_dir);
    let internal_token = r.secret("INTERNAL_API_TOKEN");
    let metrics_token = r.secret("WOMBAT_METRICS_TOKEN");
    let board_password = board_password(&mut r);
    let (board_proxies, board_proxy) = board_proxies(&mut r, board_password.is_some());
    let front = Front::new(Front::read_public(&mut r, "MC_PUBLIC_URL"), board_proxies.clone());
    let lead_roles = lead_roles(&mut r);
    let budget = budget(&mut r);
    let deltas = deltas(&mut r);
    let files = files(&mut r);
    let artifacts = artifacts(&mut r);
    let retention = retention(&mut r);
    let orphan_max_attempts = r.number("MC_ORPHAN_MAX_ATTEMPTS", 8_u32, 1..=1_000);
    let profile_max_age = r.seconds("MC_PROFILE_MAX_AGE", 0, 0..=300);
    let rules_per_user = r.number("MC_RULES_PER_USER", 100_u32, 0..=10_000);
    let demo = r.flag("MC_DEMO", false);
    let verifier = verifier(&mut r);
    let otel = OtelSettings::read(&mut r);
    let log_format = r.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json");
    let log_filter = r.text("RUST_LOG", "info");
    let effective = r.finish()?;
    let Some(verifier) = verifier else {
        return Err(SettingsError(vec!["settings could not be read".to_owned()]));
    };
    // Without a login the page is for this machine only.
    let board = host.is_loopback() || board_password.is_some() || board_proxy.is_some();
    Ok(Settings {
        host,
        port,
        config: Config {
            database,
            verifier,
            internal_token,
            metrics_token,
            lead_roles,
            budget,
            deltas,
            files,
            artifacts,
            retention,
            orphan_max_attempts,
            profile_max_age,
            rules_per_user,
            demo,
            board,
            board_password,
            board_proxy,
            board_proxies: board_proxies.unwrap_or_default(),
            front,
        },
        otel,
        log_format: log_format.unwrap_or_else(LogFormat::fitting),
        log_filter,
        effective,
    })
}

/// Reads only where the data is stored, for commands that read it.
pub fn read_database(layers: &Layers) -> Result<Database, SettingsError> {
    let mut r = Reader::new(layers);
    let data_dir = PathBuf::from(r.text("MC_DATA_DIR", "./data"));
    let database = database(&mut r, &data_dir);
    r.finish()?;
    Ok(database)
}

/// Reads where the data is stored and for how long it is kept, for the command that deletes what is older.
pub fn read_retention(layers: &Layers) -> Result<(Database, Retention), SettingsError> {
    let mut r = Reader::new(layers);
    let data_dir = PathBuf::from(r.text("MC_DATA_DIR", "./data"));
    let read = (database(&mut r, &data_dir), retention(&mut r));
    r.finish()?;
    Ok(read)
}

/// For how long things are kept; for ever unless it is set.
fn retention(r: &mut Reader<'_>) -> Retention {
    let Some(text) = r.optional("MC_RETENTION") else { return Retention::default() };
    text.parse().unwrap_or_else(|why: String| {
        r.problem("MC_RETENTION", why);
        Retention::default()
    })
}

/// Where the data is stored: a file in the data folder unless `DATABASE_URL` is set.
fn database(r: &mut Reader<'_>, data_dir: &Path) -> Database {
    let own = Database::File(data_dir.join("mission-control.db"));
    // An application whose `.env` this shares has its own.
    let own_url = r.secret("MC_DATABASE_URL");
    let variable = if own_url.is_some() { "MC_DATABASE_URL" } else { "DATABASE_URL" };
    let url = r.secret("DATABASE_URL");
    let url = own_url.or(url);
    let listen = r.secret("MC_LISTEN_URL");
    let schema = r.optional("MC_SCHEMA");
    let connections = r.number("MC_DB_CONNECTIONS", CONNECTIONS, MIN_CONNECTIONS..=500);
    let database = match url.map(|url| Database::of_url(&url)) {
        None => own,
        Some(Ok(database)) => database,
        Some(Err(problem)) => {
            r.problem(variable, problem);
            return own;
        }
    };
    let Database::Postgres(mut server) = database else {
        for (name, is_set) in [("MC_LISTEN_URL", listen.is_some()), ("MC_SCHEMA", schema.is_some())]
        {
            if is_set {
                r.problem(
                    name,
                    "is for PostgreSQL; set DATABASE_URL to the server, or leave it out",
                );
            }
        }
        return database;
    };
    server.connections = connections;
    if let Some(schema) = schema {
        match is_schema(&schema) {
            true => server.schema = Some(schema),
            false => r.problem(
                "MC_SCHEMA",
                "allowed: the name of a schema, of up to 63 bytes, that does not begin with pg_",
            ),
        }
    }
    if let Some(url) = listen {
        match Database::of_url(&url) {
            Ok(Database::Postgres(direct)) => server.listen = Some(direct.address),
            Ok(Database::File(_)) => {
                r.problem("MC_LISTEN_URL", "allowed: postgres://USER:PASSWORD@HOST:PORT/DATABASE")
            }
            Err(problem) => r.problem("MC_LISTEN_URL", problem),
        }
    }
    Database::Postgres(server)
}

/// Whether PostgreSQL takes a name for a schema of ours.
fn is_schema(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.chars().any(char::is_control)
        && !name.starts_with("pg_")
        && name != "information_schema"
}

/// The page's password, if one is set.
fn board_password(r: &mut Reader<'_>) -> Option<BoardPassword> {
    let given = r.secret("MC_BOARD_PASSWORD")?;
    BoardPassword::new(&given).map_err(|problem| r.problem("MC_BOARD_PASSWORD", problem)).ok()
}

/// The reverse proxies before the page, if they are set, and the login by them, if that is.
fn board_proxies(
    r: &mut Reader<'_>,
    has_password: bool,
) -> (Option<TrustedProxies>, Option<ProxyLogin>) {
    let list = r.optional("MC_BOARD_TRUSTED_PROXIES");
    let trusted = TrustedProxies::new(list.as_deref().unwrap_or_default());
    let trusted = trusted.map_err(|why| r.problem("MC_BOARD_TRUSTED_PROXIES", why));
    let header = r.optional("MC_BOARD_AUTH_HEADER");
    let is_none = trusted.as_ref().is_ok_and(TrustedProxies::is_empty);
    if !is_none && header.is_none() && !has_password {
        let why = "has no use without a login: set MC_BOARD_AUTH_HEADER or MC_BOARD_PASSWORD";
        r.problem("MC_BOARD_TRUSTED_PROXIES", why);
    }
    let is_meant = header.is_some();
    let login = match (&trusted, header) {
        (Ok(_), Some(header)) => {
            let login = ProxyLogin::new(&header, list.as_deref().unwrap_or_default());
            let name = |of_header| match of_header {
                true => "MC_BOARD_AUTH_HEADER",
                false => "MC_BOARD_TRUSTED_PROXIES",
            };
            login.map_err(|(of_header, why)| r.problem(name(of_header), why)).ok()
        }
        (Ok(_) | Err(()), _) => None,
    };
    let named = list.is_some().then(|| trusted.unwrap_or_default());
    (named, with_operators(r, login, is_meant))
}

/// Who may see every user's things on the page: by name, or by a role that the proxy passes.
fn with_operators(
    r: &mut Reader<'_>,
    login: Option<ProxyLogin>,
    is_meant: bool,
) -> Option<ProxyLogin> {
    let names = r.optional("MC_BOARD_OPERATORS");
    let header = r.optional("MC_BOARD_ROLE_HEADER");
    let role = r.optional("MC_BOARD_OPERATOR_ROLE");
    let Some(mut login) = login else {
        let all = [
            ("MC_BOARD_OPERATORS", names.is_some()),
            ("MC_BOARD_ROLE_HEADER", header.is_some()),
            ("MC_BOARD_OPERATOR_ROLE", role.is_some()),
        ];
        for (name, _) in all.into_iter().filter(|(_, is_set)| *is_set && !is_meant) {
            let why = "has no use without MC_BOARD_AUTH_HEADER, in which the proxy names people";
            r.problem(name, why);
        }
        return None;
    };
    if let Some(names) = names {
        let with = login.with_operators(&names);
        login = with.map_err(|why| r.problem("MC_BOARD_OPERATORS", why)).ok()?;
    }
    match (header, role) {
        (None, None) => Some(login),
        (Some(header), Some(role)) => {
            let with = login.with_operator_role(&header, &role);
            with.map_err(|why| r.problem("MC_BOARD_ROLE_HEADER", why)).ok()
        }
        (Some(_), None) => {
            r.problem("MC_BOARD_ROLE_HEADER", "needs MC_BOARD_OPERATOR_ROLE, the operators' role");
            None
        }
        (None, Some(_)) => {
            r.problem("MC_BOARD_OPERATOR_ROLE", "needs MC_BOARD_ROLE_HEADER, the roles' header");
            None
        }
    }
}

/// The roles whose agents may act on the sessions of their user's other roles; none unless set.
fn lead_roles(r: &mut Reader<'_>) -> BTreeSet<String> {
    let Some(text) = r.optional("MC_LEAD_ROLES") else { return BTreeSet::new() };
    let roles: BTreeSet<_> = text.split(',').map(|role| role.trim().to_owned()).collect();
    if let Some(role) = roles.iter().find(|role| !is_role(role)) {
        let why = format!(
            "{role:?} is no role; allowed: roles separated by commas, each of letters, digits, _ and -"
        );
        r.problem("MC_LEAD_ROLES", why);
    }
    roles
}

/// Where what runs tell is kept, and how much of it.
fn deltas(r: &mut Reader<'_>) -> DeltasConfig {
    let unset = DeltasConfig::default();
    let url = r.secret("MC_STREAM_URL").map(|url| StreamUrl::parse(&url));
    let streams = url.transpose().map_err(|problem| r.problem("MC_STREAM_URL", problem));
    let ttl = r.number("MC_DELTAS_TTL_SECS", unset.ttl.as_secs(), 1..=31_536_000);
    let max_bytes = r.number("MC_DELTAS_MAX_BYTES", unset.max_bytes, 1_024..=1_024 * 1_024 * 1_024);
    DeltasConfig { streams: streams.ok().flatten(), ttl: Duration::from_secs(ttl), max_bytes }
}

/// How much is kept of files.
fn files(r: &mut Reader<'_>) -> FileLimits {
    /// More than any disk has.
    const MOST: u64 = 1 << 50;
    let unset = FileLimits::default();
    FileLimits {
        max_bytes: r.number("MC_FILE_MAX_BYTES", unset.max_bytes, 1..=MOST),
        quota_bytes: r.number("MC_FILES_QUOTA_BYTES", unset.quota_bytes, 0..=MOST),
    }
}

/// How much is kept of long results of tools.
fn artifacts(r: &mut Reader<'_>) -> ArtifactLimits {
    /// One is read into memory.
    const LONGEST: u64 = 64 * 1024 * 1024;
    /// More than any disk has.
    const MOST: u64 = 1 << 50;
    let unset = ArtifactLimits::default();
    let ttl = r.number("MC_ARTIFACT_TTL_SECS", unset.ttl.as_secs(), 1..=31_536_000);
    ArtifactLimits {
        max_bytes: r.number("MC_ARTIFACT_MAX_BYTES", unset.max_bytes, 1..=LONGEST),
        quota_bytes: r.number("MC_ARTIFACTS_QUOTA_BYTES", unset.quota_bytes, 0..=MOST),
        ttl: Duration::from_secs(ttl),
    }
}

/// The default monthly budget of a user; no limit unless it is set.
fn budget(r: &mut Reader<'_>) -> Option<Nanos> {
    let usd: f64 =
        r.parse_optional("MC_BUDGET_USD", "an amount in US dollars, such as 25 or 0.50")?;
    let amount = Nanos::of_usd(usd);
    if amount.is_none() {
        r.problem("MC_BUDGET_USD", "allowed: an amount from 0 to 1000000000");
    }
    amount
}

fn verifier(r: &mut Reader<'_>) -> Option<TokenVerifier> {
    let accepts_legacy = r.flag("AGENT_JWT_LEGACY", false);
    let algorithm: Algorithm = r.parse("AGENT_JWT_ALGORITHM", "HS256", Algorithm::ALLOWED)?;
    let names = match algorithm.is_symmetric() {
        true => ["AGENT_JWT_SECRET", "AGENT_JWT_SECRET_PREVIOUS"],
        false => ["AGENT_JWT_PUBLIC_KEY", "AGENT_JWT_PUBLIC_KEY_PREVIOUS"],
    };
    let [key, previous] = names.map(|name| match algorithm.is_symmetric() {
        true => Some(r.secret(name).map(Key::Secret)),
        false => match r.optional(name).map(|path| (std::fs::read_to_string(&path), path)) {
            None => Some(None),
            Some((Ok(pem), _)) => Some(Some(Key::Pem(pem.into()))),
            Some((Err(error), path)) => {
                r.problem(name, format!("{path} cannot be read: {error}"));
                None
            }
        },
    });
    let (key, previous) = (key?, previous?);
    let Some(key) = key else {
        let why = match algorithm.is_symmetric() {
            true => {
                "is not set; give the daemon and this backend the same secret (openssl rand -hex 32)"
            }
            false => "is not set; AGENT_JWT_ALGORITHM needs a PEM file",
        };
        r.problem(names[0], why);
        return None;
    };
    let verifier = TokenVerifier::new(&key, algorithm);
    let verifier = verifier.map_err(|error| r.problem(names[0], error)).ok()?;
    let verifier = verifier.with_legacy(accepts_legacy);
    let Some(previous) = previous else { return Some(verifier) };
    let both = verifier.with_previous(&previous, algorithm);
    both.map_err(|error| r.problem(names[1], error)).ok()
}

#[cfg(test)]
mod tests;
