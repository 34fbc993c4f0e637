//! `wombat-heartbeat crontab`.

use std::path::PathBuf;

use service::settings::{Layers, Reader, SettingsError};
use wombat_core::agent_config::AgentConfig;
use wombat_core::session::{SessionError, UserId};

use crate::config_file;
use crate::cron::Cron;

/// What the crontab is made from. It needs no key and no backend.
#[derive(Debug, Clone)]
pub struct CrontabSettings {
    dir: PathBuf,
    path: PathBuf,
    config: AgentConfig,
    user: Option<String>,
}

impl CrontabSettings {
    /// Reads agent-config.json, or names every problem.
    pub fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let user = reader.optional("USER_ID");
        let dir = std::env::current_dir().unwrap_or_default();
        let found = config_file::read(&mut reader);
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
            Some((path, config)) => Ok(Self { dir, path, config, user }),
            None => Err(SettingsError(vec![missing.to_owned()])),
        }
    }

    /// The lines, for `crontab -`. Without a user the crontab has to set USER_ID.
    pub fn lines(&self, users: &[String]) -> Result<Vec<String>, SessionError> {
        let users: Vec<String> =
            if users.is_empty() { self.user.iter().cloned().collect() } else { users.to_vec() };
        let mut flags = String::new();
        for user in &users {
            UserId::parse(user)?;
            flags += &format!("--user {} ", quoted(user));
        }
        let mut lines = vec![format!("# Heartbeats of {}", self.path.display())];
        if users.is_empty() {
            lines.push(
                "# USER_ID must be set, here or in the settings of the directory.".to_owned(),
            );
        }
        let dir = quoted(&self.dir.to_string_lossy());
        for agent in &self.config.agents {
            let role = &agent.profile.role;
            if let Some(cron) = &agent.profile.heartbeat_cron {
                lines.push(format!(
                    "{cron} cd {dir} && wombat-heartbeat {flags}--role {role} --slot auto"
                ));
            }
        }
        Ok(lines)
    }
}

/// A word for the shell; cron itself takes `%` for the end of the line.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("'{}'", line.replace('\'', r"'\''").replace('%', r"'\%'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str, user: Option<&str>) -> CrontabSettings {
        CrontabSettings {
            dir: "/srv/wombat".into(),
            path: "config/agent-config.json".into(),
            config: AgentConfig::parse(json, &|_| None).unwrap(),
            user: user.map(str::to_owned),
        }
    }

    const JSON: &str = r#"{"agents": [{"role": "scout", "heartbeat_cron": "*/15 * * * *"},
        {"role": "quiet"}]}"#;

    #[test]
    fn every_role_with_a_cron_line_gets_one() {
        let lines = settings(JSON, Some("u1")).lines(&[]).unwrap();
        assert_eq!(
            lines[1..],
            ["*/15 * * * * cd /srv/wombat && wombat-heartbeat --user u1 --role scout --slot auto"]
        );
        let lines = settings(JSON, None).lines(&[]).unwrap();
        assert!(
            lines[1].contains("USER_ID")
                && lines[2].ends_with("wombat-heartbeat --role scout --slot auto")
        );
    }

    #[test]
    fn a_user_cannot_break_out_of_the_line() {
        let lines = settings(JSON, None).lines(&["a'; rm -rf %\n".to_owned()]).unwrap();
        assert!(lines[1].contains(r"--user 'a'\''; rm -rf '\%' ' --role"), "{}", lines[1]);
        assert!(settings(JSON, None).lines(&["a:b".to_owned()]).is_err());
    }
}
