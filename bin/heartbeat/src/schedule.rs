//! Prints schedules: `wombat-heartbeat crontab` and `wombat-heartbeat systemd`.

mod elsewhere;
mod words;

use std::path::{Path, PathBuf};

use chrono::Utc;
use service::settings::{Layers, Reader, SettingsError};
use wombat_core::agent_config::{AgentConfig, AgentEntry};
use wombat_core::session::{SessionError, UserId};
use zones::Zone;
use zones::cron::{Cron, five_fields};

use crate::config_file;
use elsewhere::{LOOKS_BACK, gap_ends, hourly};
use words::{comment, escape_specifiers, plain_fields, shell_word, systemd_word};

/// The longest command that Debian's cron takes (`MAX_COMMAND` in its cron.h, with a final NUL).
const MAX_COMMAND: usize = 999;

/// Why no schedule can be printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// A user id is invalid.
    #[error("{0}")]
    User(#[from] SessionError),
    /// A line of a schedule cannot hold a line break.
    #[error("{0} holds a line break, which neither a crontab nor a systemd unit can pass on")]
    LineBreak(&'static str),
    /// A path is not UTF-8.
    #[error("{} is not UTF-8, and so cannot be written into a schedule", .0.display())]
    NotUtf8(PathBuf),
    /// A command is longer than cron takes.
    #[error(
        "the command for the user {0:?} has more than 999 characters, which cron does not take"
    )]
    TooLong(String),
}

/// What crontab lines and systemd units are made from. Needs no key and no backend.
#[derive(Debug, Clone)]
pub struct ScheduleSettings {
    dir: PathBuf,
    path: PathBuf,
    config: AgentConfig,
    /// `USER_ID`, if set.
    user: Vec<String>,
    /// The zone of this machine.
    machine: Zone,
}

/// What is said where no role has a schedule.
pub const NOTHING_TO_RUN: &str = "Nothing to run: no role of the workspace has a heartbeat_cron.";

impl ScheduleSettings {
    /// Reads agent-config.json.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let user = reader.optional("USER_ID");
        let dir = std::env::current_dir().unwrap_or_default();
        let found = config_file::read(&mut reader, &layers.variables());
        for agent in found.iter().flat_map(|(_, config)| &config.agents) {
            let cron = agent.profile.heartbeat_cron.as_deref().map(str::parse::<Cron>);
            if let Some(Err(error)) = cron {
                let what = format!("heartbeat_cron of {}: {error}", agent.profile.role);
                reader.problem("agent-config.json", what);
            }
        }
        let missing = "there is no agent-config.json in WOMBAT_WORKSPACE, nor WOMBAT_AGENT_CONFIG";
        reader.finish()?;
        match found {
            Some((path, config)) => {
                let machine = zones::local().unwrap_or(Zone::UTC);
                Ok(Self { dir, path, config, user: user.into_iter().collect(), machine })
            }
            None => Err(SettingsError(vec![missing.to_owned()])),
        }
    }

    /// The lines, for `crontab -`. `program` is a full path, because cron searches few directories;
    /// `config` is the settings file, if one was given. Without users the crontab must set USER_ID.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn lines(
        &self,
        program: &Path,
        config: Option<&Path>,
        users: &[String],
    ) -> Result<Vec<String>, ScheduleError> {
        let users = self.users(users)?;
        let mut start =
            format!("cd {} && {}", shell_word(utf8(&self.dir)?), shell_word(utf8(program)?));
        if let Some(config) = config {
            start += &joined(flag("--config", utf8(config)?), shell_word);
        }
        let mut lines = vec![comment(&format!("# Heartbeats of {}", self.path.display()))];
        if users.is_empty() {
            lines.push(
                "# USER_ID must be set: above these lines, or in the directory's .env.".to_owned(),
            );
        }
        let has_cron = |agent: &AgentEntry| agent.profile.heartbeat_cron.is_some();
        if !self.config.agents.iter().any(has_cron) {
            lines.push(format!("# {NOTHING_TO_RUN}"));
        }
        for agent in &self.config.agents {
            let role = &agent.profile.role;
            if let Some(cron) = &agent.profile.heartbeat_cron {
                // The value was checked, and is written as five fields.
                let mut fields = plain_fields(five_fields(cron));
                let mut end = format!(" --role {role} --slot auto");
                if let Some(zone) = agent.profile.heartbeat_timezone
                    && zone != self.machine
                    && let Ok(parsed) = cron.parse::<Cron>()
                {
                    // A crontab knows the machine's zone only: it looks each hour, and the tick counts.
                    fields = hourly(&parsed, zone, self.machine, Utc::now());
                    end.push_str(&format!(" --due-within {LOOKS_BACK}"));
                    lines.push(comment(&format!("# {role}: {cron} in {zone}")));
                }
                let cron = fields;
                let commands = commands(&start, &users, &end)?;
                lines.extend(commands.iter().map(|command| format!("{cron} {command}")));
            }
        }
        Ok(lines)
    }

    /// The systemd units: a service and a timer for each role with a `heartbeat_cron`, as file names
    /// and their texts. Without users the service must set USER_ID.
    ///
    /// # Errors
    /// See [`ScheduleError`].
    pub fn units(
        &self,
        program: &Path,
        config: Option<&Path>,
        users: &[String],
    ) -> Result<Vec<(String, String)>, ScheduleError> {
        let users = self.users(users)?;
        let mut words = vec![utf8(program)?.to_owned()];
        if let Some(config) = config {
            words.extend(flag("--config", utf8(config)?));
        }
        words.extend(users.iter().flat_map(|user| flag("--user", user)));
        let call = words.iter().map(|word| systemd_word(word)).collect::<Vec<_>>().join(" ");
        let dir = escape_specifiers(utf8(&self.dir)?);
        let from = escape_specifiers(&comment(&self.path.to_string_lossy()));
        let mut units = Vec::new();
        for agent in &self.config.agents {
            let role = &agent.profile.role;
            // An invalid value was reported when the settings were read.
            let cron = agent.profile.heartbeat_cron.as_deref().map(str::parse::<Cron>);
            let Some(Ok(cron)) = cron else { continue };
            let name = format!("wombat-heartbeat-{role}");
            let missing = if users.is_empty() {
                "# USER_ID must be set: here by Environment=USER_ID=…, or in the directory's .env.\n"
            } else {
                ""
            };
            let zone = agent.profile.heartbeat_timezone;
            let ends = gap_ends(&cron, zone.unwrap_or(self.machine), Utc::now());
            let within = match ends.is_empty() {
                true => String::new(),
                // systemd leaves out what the clock does not show; these calls find it, and no other tick.
                false => format!(" --due-within {LOOKS_BACK}"),
            };
            let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
            units.push((
                format!("{name}.service"),
                format!(
                    "# From {from}\n[Unit]\nDescription=Heartbeat of {role}\n\
                     Wants=network-online.target\nAfter=network-online.target\n\n\
                     [Service]\nType=oneshot\n{missing}WorkingDirectory={dir}\n\
                     ExecStart={call} --role {role} --slot auto{within}\n"
                ),
            ));
            let ticks: String = cron
                .calendars()
                .into_iter()
                .chain(ends)
                .map(|at| format!("OnCalendar={at}{zone}\n"))
                .collect();
            units.push((
                format!("{name}.timer"),
                format!(
                    "# From {from}\n[Unit]\nDescription=Wakes {role}\n\n\
                     [Timer]\n{ticks}AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
                ),
            ));
        }
        Ok(units)
    }

    /// The users of the flags, else the one of the settings.
    fn users(&self, named: &[String]) -> Result<Vec<String>, ScheduleError> {
        let users = if named.is_empty() { self.user.as_slice() } else { named };
        for user in users {
            UserId::parse(user)?;
            if user.contains(['\n', '\r', '\0']) {
                return Err(ScheduleError::LineBreak("a user id"));
            }
        }
        Ok(users.to_vec())
    }
}

/// A path as text of one line.
fn utf8(path: &Path) -> Result<&str, ScheduleError> {
    let text = path.to_str().ok_or_else(|| ScheduleError::NotUtf8(path.to_owned()))?;
    if text.contains(['\n', '\r']) {
        return Err(ScheduleError::LineBreak("a path"));
    }
    Ok(text)
}

/// The words of a flag. A value that begins with `-` would be taken for the next flag, unless it is one
/// word with its own.
fn flag(name: &str, value: &str) -> Vec<String> {
    match value.starts_with('-') {
        true => vec![format!("{name}={value}")],
        false => vec![name.to_owned(), value.to_owned()],
    }
}

/// Words for a command line, each with a blank before it.
fn joined(words: Vec<String>, quoted: fn(&str) -> String) -> String {
    words.iter().map(|word| format!(" {}", quoted(word))).collect()
}

/// The commands for these users: one, or several where cron would find one too long.
fn commands(start: &str, users: &[String], end: &str) -> Result<Vec<String>, ScheduleError> {
    let mut commands = Vec::new();
    let mut flags = String::new();
    for user in users {
        let flag = joined(flag("--user", user), shell_word);
        let fits = |flags: &str| start.len() + flags.len() + flag.len() + end.len() <= MAX_COMMAND;
        if !fits(&flags) {
            if !fits("") {
                return Err(ScheduleError::TooLong(user.clone()));
            }
            commands.push(format!("{start}{flags}{end}"));
            flags.clear();
        }
        flags += &flag;
    }
    commands.push(format!("{start}{flags}{end}"));
    Ok(commands)
}

#[cfg(test)]
mod tests;
