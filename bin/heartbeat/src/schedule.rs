//! Prints schedules: `wombat-heartbeat crontab` and `wombat-heartbeat systemd`.

use std::path::{Path, PathBuf};

use service::settings::{Layers, Reader, SettingsError};
use wombat_core::agent_config::AgentConfig;
use wombat_core::cron::Cron;
use wombat_core::session::{SessionError, UserId};

use crate::config_file;

/// What crontab lines and systemd units are made from. Needs no key and no backend.
#[derive(Debug, Clone)]
pub struct ScheduleSettings {
    dir: PathBuf,
    path: PathBuf,
    config: AgentConfig,
    /// `USER_ID`, if set.
    user: Vec<String>,
}

impl ScheduleSettings {
    /// Reads agent-config.json.
    ///
    /// # Errors
    /// Every problem at once.
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
            Some((path, config)) => {
                Ok(Self { dir, path, config, user: user.into_iter().collect() })
            }
            None => Err(SettingsError(vec![missing.to_owned()])),
        }
    }

    /// The lines, for `crontab -`. `program` is a full path, because cron searches few directories;
    /// `config` is the settings file, if one was given. Without users the crontab must set USER_ID.
    ///
    /// # Errors
    /// When a user id is invalid.
    pub fn lines(
        &self,
        program: &Path,
        config: Option<&Path>,
        users: &[String],
    ) -> Result<Vec<String>, SessionError> {
        let users = self.users(users)?;
        let mut flags = String::new();
        if let Some(config) = config {
            flags += &format!("--config {} ", shell_word(&config.to_string_lossy()));
        }
        for user in &users {
            flags += &format!("--user {} ", shell_word(user));
        }
        let mut lines = vec![one_line(&format!("# Heartbeats of {}", self.path.display()))];
        if users.is_empty() {
            lines.push(
                "# USER_ID must be set: above these lines, or in the directory's .env.".to_owned(),
            );
        }
        let dir = shell_word(&self.dir.to_string_lossy());
        let program = shell_word(&program.to_string_lossy());
        for agent in &self.config.agents {
            let role = &agent.profile.role;
            if let Some(cron) = &agent.profile.heartbeat_cron {
                // The value was checked as five fields, and is written as such.
                let cron = plain_fields(cron);
                lines
                    .push(format!("{cron} cd {dir} && {program} {flags}--role {role} --slot auto"));
            }
        }
        Ok(lines)
    }

    /// The systemd units: a service and a timer for each role with a `heartbeat_cron`, as file names
    /// and their texts. Without users the service must set USER_ID.
    ///
    /// # Errors
    /// When a user id is invalid.
    pub fn units(
        &self,
        program: &Path,
        config: Option<&Path>,
        users: &[String],
    ) -> Result<Vec<(String, String)>, SessionError> {
        let users = self.users(users)?;
        let mut words = vec![program.to_string_lossy().into_owned()];
        words.extend(
            config
                .iter()
                .flat_map(|config| ["--config".to_owned(), config.to_string_lossy().into_owned()]),
        );
        words.extend(users.iter().flat_map(|user| ["--user".to_owned(), user.clone()]));
        let call = words.iter().map(|word| systemd_word(word)).collect::<Vec<_>>().join(" ");
        let dir = escape_specifiers(&one_line(&self.dir.to_string_lossy()));
        let from = escape_specifiers(&one_line(&self.path.to_string_lossy()));
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
            units.push((
                format!("{name}.service"),
                format!(
                    "# From {from}\n[Unit]\nDescription=Heartbeat of {role}\n\
                     Wants=network-online.target\nAfter=network-online.target\n\n\
                     [Service]\nType=oneshot\n{missing}WorkingDirectory={dir}\n\
                     ExecStart={call} --role {role} --slot auto\n"
                ),
            ));
            let ticks: String =
                cron.calendars().iter().map(|at| format!("OnCalendar={at}\n")).collect();
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
    fn users(&self, named: &[String]) -> Result<Vec<String>, SessionError> {
        let users = if named.is_empty() { self.user.as_slice() } else { named };
        users.iter().map(|user| UserId::parse(user).map(|_| user.clone())).collect()
    }
}

/// The five fields in a form that every cron understands: a step from a single value, `5/20`, is
/// written as a range, because some crons accept steps of ranges only.
fn plain_fields(cron: &str) -> String {
    let last = ["59", "23", "31", "12", "7"];
    let fields = cron.split_whitespace().zip(last).map(|(field, last)| {
        let parts = field.split(',').map(|part| match part.split_once('/') {
            Some((from, step)) if from != "*" && !from.contains('-') => {
                format!("{from}-{last}/{step}")
            }
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(",")
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// A word of a systemd command line (systemd.service(5), "Command lines").
fn systemd_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,=:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let text = escape_specifiers(&one_line(text)).replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('$', "$$"))
}

/// Text in which systemd sees no specifiers.
fn escape_specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word for the shell. `%` is escaped, because cron takes it for the end of the line.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", one_line(text).replace('\'', r"'\''").replace('%', r"'\%'"))
}

/// Text without line breaks and other control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str, user: Option<&str>) -> ScheduleSettings {
        ScheduleSettings {
            dir: "/srv/wombat".into(),
            path: "config/agent-config.json".into(),
            config: AgentConfig::parse(json, &|_| None).unwrap(),
            user: user.map(str::to_owned).into_iter().collect(),
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
    fn steps_from_a_single_value_are_written_as_ranges() {
        for (cron, plain) in [
            ("  5/20   *\t* * *", "5-59/20 * * * *"),
            ("1,5/20,7-9/2 */2 3/4 jan/3 1/2", "1,5-59/20,7-9/2 */2 3-31/4 jan-12/3 1-7/2"),
            ("0 9 * * mon-fri", "0 9 * * mon-fri"),
        ] {
            assert_eq!(plain_fields(cron), plain);
            let cron: Cron = cron.parse().unwrap();
            assert_eq!(plain.parse::<Cron>().unwrap(), cron, "the same moments");
        }
    }

    #[test]
    fn a_role_has_a_service_and_a_timer() {
        let json = r#"{"agents": [{"role": "scout", "heartbeat_cron": "0 0 13 * fri"}, {"role": "quiet"}]}"#;
        let users = ["a b%$\"\\".to_owned()];
        let units = settings(json, None).units(Path::new("/bin/hb"), None, &users).unwrap();
        let names: Vec<_> = units.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["wombat-heartbeat-scout.service", "wombat-heartbeat-scout.timer"]);
        let service = &units[0].1;
        let call = r#"ExecStart=/bin/hb --user "a b%%$$\"\\" --role scout --slot auto"#;
        assert!(service.contains(call), "{service}");
        assert!(service.contains("WorkingDirectory=/srv/wombat\n"), "{service}");
        let timer = &units[1].1;
        let ticks = "OnCalendar=*-*-13 00:00:00\nOnCalendar=Fri *-*-* 00:00:00\n";
        assert!(timer.contains(ticks), "{timer}");
        let units = settings(json, None).units(Path::new("/bin/hb"), None, &[]).unwrap();
        assert!(units[0].1.contains("# USER_ID must be set"), "{}", units[0].1);
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
