//! The dispatcher's settings.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use service::agent_token::{self, AgentTokens};
use service::backend_address::BackendAddress;
use service::otel::OtelSettings;
use service::settings::{Effective, Layers, Reader, SettingsError, Variables};
use service::telemetry::LogFormat;

/// The dispatcher's settings (docs/CONFIGURATION.md).
#[derive(Debug, Clone)]
pub struct Settings {
    /// `BACKEND_URL` and `WOMBAT_CONTROL_PLANE_URL`.
    pub backend: BackendAddress,
    /// `INTERNAL_API_TOKEN`.
    pub internal_token: SecretString,
    /// `AGENT_JWT_*`: agent tokens for requesting the backend's capabilities; the internal token is
    /// used without them.
    pub tokens: AgentTokens,
    /// `AGENT_DAEMON_URL`.
    pub daemon_url: String,
    /// `AGENT_DAEMON_API_KEY`.
    pub daemon_key: Option<SecretString>,
    /// `DISPATCH_SEND_TIMEOUT_SEC`: the timeout of a forward. Longer than the daemon's own timeout
    /// of a run, so that the daemon is the one that ends a run.
    pub send_timeout: Duration,
    /// `DISPATCH_DEFAULT_TASK`, or else `WOMBAT_DEFAULT_TASK`: the title of the task for notifications that
    /// name none.
    pub default_task: String,
    /// `DISPATCH_CONCURRENCY`: the most forwards at a time, each of another session.
    pub concurrency: usize,
    /// `DISPATCH_MAX_ATTEMPTS`: failed attempts until a notification is a dead letter.
    pub max_attempts: u32,
    /// `DISPATCH_MIN_INTERVAL_SEC`: the interval of polls at work; the first delay of backoff.
    pub min_interval: Duration,
    /// `DISPATCH_MAX_INTERVAL_SEC`: the interval of polls when idle; the longest delay of backoff.
    pub max_interval: Duration,
    /// `DISPATCH_LIMIT_USERS`: the most users of one poll.
    pub limit_users: u32,
    /// `DISPATCH_LIMIT_NOTIFICATIONS`: the most notifications of one poll.
    pub limit_notifications: u32,
    /// `DISPATCH_LEASE_SECONDS`: the duration of a lease, and so how long a delivery waits that a
    /// crashed dispatcher held.
    pub lease_seconds: u64,
    /// `DISPATCH_ORPHANS_INTERVAL_SEC`: how often the backend is asked for runs whose instance died.
    pub orphans_interval: Duration,
    /// `WOMBAT_HOST` and `DISPATCH_HTTP_PORT`: where `/livez`, `/metrics` and `/hooks/{name}` are served;
    /// nowhere when absent.
    pub listen: Option<(String, u16)>,
    /// `WOMBAT_WORKSPACE`: the folder with `hooks/`.
    pub workspace: PathBuf,
    /// The environment and `.env`, for the secrets that hooks name.
    pub variables: Variables,
    /// `WOMBAT_METRICS_TOKEN`: the bearer token that `/metrics` requires; none when absent.
    pub metrics_token: Option<SecretString>,
    /// `OTEL_*`.
    pub otel: OtelSettings,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All settings in force, for `config`.
    pub effective: Effective,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let internal_token = reader.secret("INTERNAL_API_TOKEN");
        if internal_token.is_none() {
            reader.problem("INTERNAL_API_TOKEN", "is not set; use the same value as the backend");
        }
        let min = reader.number("DISPATCH_MIN_INTERVAL_SEC", 2.0_f64, 0.01..=3600.0);
        let max = reader.number("DISPATCH_MAX_INTERVAL_SEC", 30.0_f64, 0.01..=3600.0);
        let orphans = reader.number("DISPATCH_ORPHANS_INTERVAL_SEC", 3.0_f64, 0.01..=3600.0);
        let host = reader.text("WOMBAT_HOST", "127.0.0.1");
        let task = reader.text("WOMBAT_DEFAULT_TASK", "Notifications");
        let port: Option<u16> =
            reader.parse_optional("DISPATCH_HTTP_PORT", "a number from 0 to 65535");
        let mut settings = Self {
            backend: BackendAddress::read(&mut reader),
            internal_token: internal_token.unwrap_or_default(),
            tokens: agent_token::read(&mut reader, false),
            daemon_url: reader.url("AGENT_DAEMON_URL", "http://localhost:8081"),
            daemon_key: reader.secret("AGENT_DAEMON_API_KEY"),
            send_timeout: reader.seconds("DISPATCH_SEND_TIMEOUT_SEC", 300, 1..=86_400),
            default_task: reader.text("DISPATCH_DEFAULT_TASK", &task),
            concurrency: reader.number("DISPATCH_CONCURRENCY", 16, 1..=1024),
            max_attempts: reader.number("DISPATCH_MAX_ATTEMPTS", 8, 1..=1000),
            min_interval: Duration::from_secs_f64(min),
            // A longest interval below the shortest makes all intervals the same.
            max_interval: Duration::from_secs_f64(max.max(min)),
            limit_users: reader.number("DISPATCH_LIMIT_USERS", 100, 1..=10_000),
            limit_notifications: reader.number("DISPATCH_LIMIT_NOTIFICATIONS", 200, 1..=10_000),
            lease_seconds: reader.number("DISPATCH_LEASE_SECONDS", 60, 1..=86_400),
            orphans_interval: Duration::from_secs_f64(orphans),
            listen: port.map(|port| (host, port)),
            workspace: reader.text("WOMBAT_WORKSPACE", "./workspace").into(),
            variables: layers.variables(),
            metrics_token: reader.secret("WOMBAT_METRICS_TOKEN"),
            otel: OtelSettings::read(&mut reader),
            log_format: match reader.optional("WOMBAT_LOG_FORMAT") {
                None => LogFormat::fitting(),
                Some(_) => reader
                    .parse_optional("WOMBAT_LOG_FORMAT", "pretty or json")
                    .unwrap_or(LogFormat::Json),
            },
            log_filter: reader.text("RUST_LOG", "info"),
            effective: Effective::default(),
        };
        settings.effective = reader.finish()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internal_token_has_to_be_set() {
        let error = Settings::read(&Layers::default()).unwrap_err();
        assert_eq!(error.0.len(), 1, "{error}");
        assert!(error.0[0].starts_with("INTERNAL_API_TOKEN is not set"), "{error}");
        let settings = Settings::read(&Layers::from_pairs([("INTERNAL_API_TOKEN", "t")])).unwrap();
        assert_eq!((settings.concurrency, settings.max_attempts), (16, 8));
        assert_eq!(settings.default_task, "Notifications");
        assert!(settings.listen.is_none());
    }

    #[test]
    fn the_daemons_default_task_is_the_dispatchers_unless_it_has_its_own() {
        let task = |own: &str| {
            let pairs = [
                ("INTERNAL_API_TOKEN", "t"),
                ("WOMBAT_DEFAULT_TASK", "Agent Thread"),
                ("DISPATCH_DEFAULT_TASK", own),
            ];
            Settings::read(&Layers::from_pairs(pairs)).unwrap().default_task
        };
        assert_eq!((task("").as_str(), task("Inbox").as_str()), ("Agent Thread", "Inbox"));
    }

    #[test]
    fn intervals_may_be_fractions_and_the_longest_is_never_below_the_shortest() {
        let settings = Settings::read(&Layers::from_pairs([
            ("INTERNAL_API_TOKEN", "t"),
            ("DISPATCH_MIN_INTERVAL_SEC", "0.5"),
            ("DISPATCH_MAX_INTERVAL_SEC", "0.1"),
        ]))
        .unwrap();
        assert_eq!(settings.min_interval, Duration::from_millis(500));
        assert_eq!(settings.max_interval, settings.min_interval);
    }
}
