//! `wombat-heartbeat crontab`.

use std::path::{Path, PathBuf};

use service::settings::{Layers, Reader, SettingsError};
use wombat_core::agent_config::AgentConfig;
use wombat_core::session::{SessionError, UserId};

use crate::config_file;
use wombat_core::cron::Cron;

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

    /// The lines, for `crontab -`. `program` is called by its full path, because cron looks for
    /// programs in few places only; `config` is the settings file, if one was named. Without a user
    /// the crontab has to set USER_ID.
    pub fn lines(
        &self,
        program: &Path,
        config: Option<&Path>,
        users: &[String],
    ) -> Result<Vec<String>, SessionError> {
        let users: Vec<String> =
            if users.is_empty() { self.user.iter().cloned().collect() } else { users.to_vec() };
        let mut flags = String::new();
        if let Some(config) = config {
            flags += &format!("--config {} ", quoted(&config.to_string_lossy()));
        }
        for user in &users {
            UserId::parse(user)?;
            flags += &format!("--user {} ", quoted(user));
        }
        let mut lines = vec![comment(&format!("# Heartbeats of {}", self.path.display()))];
        if users.is_empty() {
            lines.push(
                "# USER_ID must be set: above these lines, or in the directory's .env.".to_owned(),
            );
        }
        let dir = quoted(&self.dir.to_string_lossy());
        let program = quoted(&program.to_string_lossy());
        for agent in &self.config.agents {
            let role = &agent.profile.role;
            if let Some(cron) = &agent.profile.heartbeat_cron {
                // cron takes a line as it is, so what was checked as five fields is written so.
                let cron = cron.split_whitespace().collect::<Vec<_>>().join(" ");
                lines
                    .push(format!("{cron} cd {dir} && {program} {flags}--role {role} --slot auto"));
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
    format!("'{}'", comment(text).replace('\'', r"'\''").replace('%', r"'\%'"))
}

/// Text that stays on its line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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

    fn lines(user: Option<&str>, users: &[&str]) -> Vec<String> {
        let users: Vec<String> = users.iter().map(|user| (*user).to_owned()).collect();
        settings(JSON, user).lines(Path::new("/bin/hb"), None, &users).unwrap()
    }

    #[test]
    fn every_role_with_a_cron_line_gets_one() {
        assert_eq!(
            lines(Some("u1"), &[])[1..],
            ["*/15 * * * * cd /srv/wombat && /bin/hb --user u1 --role scout --slot auto"]
        );
        let lines = lines(None, &[]);
        assert!(lines[1].contains("USER_ID"), "{lines:?}");
        assert!(lines[2].ends_with("/bin/hb --role scout --slot auto"), "{lines:?}");
    }

    #[test]
    fn the_flags_are_those_of_the_call() {
        let config = Some(Path::new("my settings.toml"));
        let users = ["a".to_owned(), "cn=b,dc=c".to_owned()];
        let lines = settings(JSON, Some("u1")).lines(Path::new("/bin/hb"), config, &users).unwrap();
        let flags = "--config 'my settings.toml' --user a --user cn=b,dc=c --role scout";
        assert!(lines[1].contains(flags), "{}", lines[1]);
    }

    #[test]
    fn a_user_cannot_break_out_of_the_line() {
        let lines = lines(None, &["a'; rm -rf %\n"]);
        assert!(lines[1].contains(r"--user 'a'\''; rm -rf '\%' ' --role"), "{}", lines[1]);
        let colon = ["a:b".to_owned()];
        assert!(settings(JSON, None).lines(Path::new("hb"), None, &colon).is_err());
    }
}
