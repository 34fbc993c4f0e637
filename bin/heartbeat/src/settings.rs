//! The heartbeat's settings.

use std::time::Duration;

use daemon_client::key_header;
use reqwest::header::HeaderValue;
use service::agent_token::{self, AgentTokens};
use service::backend_address::BackendAddress;
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;
use wombat_core::agent_config::AgentConfig;
use wombat_core::session::{Role, SessionKey, UserId};
use zones::Zone;
use zones::cron::Cron;

use crate::config_file;

/// Added to the daemon's timeout of a run: it may wait this long for its session's turn.
const QUEUE_TIME: Duration = Duration::from_secs(180);

/// The agents that the flags select.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `--user`; `USER_ID` when empty.
    pub users: Vec<String>,
    /// `--role`; `AGENT_ROLE` when empty.
    pub roles: Vec<String>,
    /// `--all-roles`: all roles of agent-config.json.
    pub all_roles: bool,
}

/// The heartbeat's settings (docs/CONFIGURATION.md).
#[derive(Debug, Clone)]
pub struct Settings {
    /// The agents that wake.
    pub(crate) agents: Vec<Agent>,
    /// `BACKEND_URL` and `WOMBAT_CONTROL_PLANE_URL`.
    pub(crate) backend: BackendAddress,
    /// `AGENT_DAEMON_URL`.
    pub(crate) daemon_url: String,
    /// `AGENT_DAEMON_API_KEY`.
    pub(crate) daemon_key: Option<HeaderValue>,
    /// The timeout of a call to the daemon.
    pub(crate) send_timeout: Duration,
    /// `HEARTBEAT_TASK`: the title of the task that replies are stored under.
    pub(crate) task: String,
    /// `AGENT_JWT_*`.
    pub tokens: AgentTokens,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All settings in force, for `config`.
    pub effective: Effective,
}

/// One role of one user.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// User and role.
    pub(crate) session: SessionKey,
    /// The role's `heartbeat_cron`.
    pub(crate) cron: Option<Cron>,
    /// The role's `heartbeat_timezone`; the machine's zone when absent.
    pub(crate) zone: Option<Zone>,
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn read(layers: &Layers, selection: &Selection) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let config = config_file::read(&mut reader, &layers.variables())
            .map(|(_, config)| config)
            .unwrap_or_default();
        let users = users(&mut reader, &selection.users);
        let roles = roles(&mut reader, selection, &config);
        let mut agents = Vec::new();
        for role in roles {
            let cron = cron_of(&mut reader, &config, &role);
            let entry = config.agents.iter().find(|agent| agent.profile.role == role);
            let zone = entry.and_then(|agent| agent.profile.heartbeat_timezone);
            for user in &users {
                let session = SessionKey::new(user.clone(), role.clone());
                // An agent that is selected twice wakes once.
                if agents.iter().all(|known: &Agent| known.session != session) {
                    agents.push(Agent { session, cron: cron.clone(), zone });
                }
            }
        }
        let run_timeout = reader.seconds("WOMBAT_RUN_TIMEOUT_SECS", 120, 1..=86_400);
        let mut settings = Self {
            agents,
            backend: BackendAddress::read(&mut reader),
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

fn roles(reader: &mut Reader<'_>, selection: &Selection, config: &AgentConfig) -> Vec<Role> {
    let from_settings = reader.text("AGENT_ROLE", "agent");
    if selection.all_roles {
        let roles: Vec<_> = config.agents.iter().map(|agent| agent.profile.role.clone()).collect();
        if roles.is_empty() {
            reader.problem("--all-roles", "there is no agent-config.json that names a role");
        }
        return roles;
    }
    let (setting, names) = if selection.roles.is_empty() {
        ("AGENT_ROLE", vec![from_settings])
    } else {
        ("--role", selection.roles.clone())
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
