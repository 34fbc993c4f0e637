//! The heartbeat's settings.

use std::time::Duration;

use daemon_client::key_header;
use reqwest::header::HeaderValue;
use service::agent_token::{self, AgentTokens};
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;
use wombat_core::agent_config::AgentConfig;
use wombat_core::session::{Role, SessionKey, UserId};

use crate::config_file;
use wombat_core::cron::Cron;

/// What a run of the daemon may take beyond its own limit: waiting for the session's turn.
const QUEUE_TIME: Duration = Duration::from_secs(180);

/// Who wakes, as the flags say.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// `--user`; `USER_ID` when there is none.
    pub users: Vec<String>,
    /// `--role`; `AGENT_ROLE` when there is none.
    pub roles: Vec<String>,
    /// `--all-roles`: those of agent-config.json.
    pub all_roles: bool,
}

/// Everything that the heartbeat can be told (docs/CONFIGURATION.md).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who wakes, each with when.
    pub(crate) wakes: Vec<Waking>,
    /// `BACKEND_URL`.
    pub(crate) backend_url: String,
    /// `AGENT_DAEMON_URL`.
    pub(crate) daemon_url: String,
    /// `AGENT_DAEMON_API_KEY`.
    pub(crate) daemon_key: Option<HeaderValue>,
    /// How long the daemon's answer is waited for.
    pub(crate) send_timeout: Duration,
    /// `HEARTBEAT_TASK`.
    pub(crate) task: String,
    /// `AGENT_JWT_*`.
    pub tokens: AgentTokens,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All of them as they are in force.
    pub effective: Effective,
}

/// One agent of one user.
#[derive(Debug, Clone)]
pub(crate) struct Waking {
    pub(crate) session: SessionKey,
    pub(crate) cron: Option<Cron>,
}

impl Settings {
    /// Reads and checks all settings, or names every problem.
    pub fn read(layers: &Layers, who: &Who) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let config = config_file::read(&mut reader).map(|(_, config)| config).unwrap_or_default();
        let users = users(&mut reader, &who.users);
        let roles = roles(&mut reader, who, &config);
        let mut wakes = Vec::new();
        for role in roles {
            let cron = cron_of(&mut reader, &config, &role);
            for user in &users {
                let session = SessionKey::new(user.clone(), role.clone());
                // Whoever is named twice wakes once.
                if wakes.iter().all(|known: &Waking| known.session != session) {
                    wakes.push(Waking { session, cron: cron.clone() });
                }
            }
        }
        let run_timeout = reader.seconds("WOMBAT_RUN_TIMEOUT_SECS", 120, 1..=86_400);
        let mut settings = Self {
            wakes,
            backend_url: reader.url("BACKEND_URL", "http://localhost:8000"),
            daemon_url: reader.url("AGENT_DAEMON_URL", "http://localhost:8081"),
            daemon_key: daemon_key(&mut reader),
            send_timeout: run_timeout + QUEUE_TIME,
            task: reader.text("HEARTBEAT_TASK", "Heartbeat"),
            tokens: agent_token::read(&mut reader, true),
            log_format: log_format(&mut reader),
            log_filter: reader.text("RUST_LOG", "info"),
            effective: Effective::default(),
        };
        settings.effective = reader.finish()?;
        Ok(settings)
    }
}

fn daemon_key(reader: &mut Reader<'_>) -> Option<HeaderValue> {
    let key = reader.secret("AGENT_DAEMON_API_KEY")?;
    key_header(&key).map_err(|error| reader.problem("AGENT_DAEMON_API_KEY", error)).ok()
}

fn log_format(reader: &mut Reader<'_>) -> LogFormat {
    reader.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json").unwrap_or_else(LogFormat::fitting)
}

fn users(reader: &mut Reader<'_>, named: &[String]) -> Vec<UserId> {
    let from_settings = reader.optional("USER_ID");
    let (setting, names) = if named.is_empty() {
        ("USER_ID", from_settings.into_iter().collect())
    } else {
        ("--user", named.to_vec())
    };
    if names.is_empty() {
        reader.problem("USER_ID", "is not set; name the user whose agent wakes, here or by --user");
    }
    names
        .iter()
        .filter_map(|name| UserId::parse(name).map_err(|error| reader.problem(setting, error)).ok())
        .collect()
}

fn roles(reader: &mut Reader<'_>, who: &Who, config: &AgentConfig) -> Vec<Role> {
    let from_settings = reader.text("AGENT_ROLE", "agent");
    if who.all_roles {
        let roles: Vec<_> = config.agents.iter().map(|agent| agent.profile.role.clone()).collect();
        if roles.is_empty() {
            reader.problem("--all-roles", "there is no agent-config.json that names a role");
        }
        return roles;
    }
    let (setting, names) = if who.roles.is_empty() {
        ("AGENT_ROLE", vec![from_settings])
    } else {
        ("--role", who.roles.clone())
    };
    names
        .iter()
        .filter_map(|name| Role::parse(name).map_err(|error| reader.problem(setting, error)).ok())
        .collect()
}

fn cron_of(reader: &mut Reader<'_>, config: &AgentConfig, role: &Role) -> Option<Cron> {
    let agent = config.agents.iter().find(|agent| agent.profile.role == *role)?;
    let text = agent.profile.heartbeat_cron.as_deref()?;
    text.parse()
        .map_err(|error| {
            reader.problem("agent-config.json", format!("heartbeat_cron of {role}: {error}"))
        })
        .ok()
}
