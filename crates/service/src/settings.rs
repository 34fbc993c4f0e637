//! Settings from layers: defaults, a file, `.env`, the environment, flags; the later wins.
//!
//! A program loads [`Layers`] once, reads each setting through a [`Reader`], which collects every
//! problem, and ends with [`Reader::finish`]: all problems at once, or the effective settings.
//! Tests hand in pairs; nothing here reads the process's environment by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use config::{Config, File, FileFormat};
use secrecy::SecretString;

use crate::names;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A settings file.
    File(PathBuf),
    /// `.env` in the working directory.
    DotEnv,
    /// The environment.
    Environment,
    /// A command line flag.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::DotEnv => f.write_str(".env"),
            Self::Environment => f.write_str("environment"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// Settings that cannot be used; each line names one problem and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// What the layers are made of.
#[derive(Debug, Default)]
pub struct LoadOptions {
    /// `--config FILE`. Without it `wombat.toml` in `dir` is read if it is there.
    pub config_file: Option<PathBuf>,
    /// The working directory, for `wombat.toml` and `.env`.
    pub dir: PathBuf,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// Flags that were given, by the variable that they stand for.
    pub flags: Vec<(&'static str, String)>,
}

/// All values that were given, with their origin.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<String, (String, Origin)>,
    problems: Vec<String>,
}

impl Layers {
    /// Reads file and `.env`, and lays environment and flags over them. An empty value counts as
    /// none, so that `KEY=` in a file of examples means "not set".
    pub fn load(options: LoadOptions) -> Self {
        let mut layers = Self::default();
        layers.read_file(options.config_file, &options.dir);
        layers.read_dotenv(&options.dir.join(".env"));
        for (name, value) in options.env {
            layers.set(name, value, Origin::Environment);
        }
        for (name, value) in options.flags {
            layers.set(name.to_owned(), value, Origin::Flag);
        }
        layers
    }

    /// The process's own environment and working directory.
    pub fn of_process(config_file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        // A variable that is not UTF-8 cannot be one of ours.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::load(LoadOptions { config_file, dir: PathBuf::from("."), env, flags })
    }

    /// Only these values, as if from the environment: for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut layers = Self::default();
        for (name, value) in pairs {
            layers.set(name.into(), value.into(), Origin::Environment);
        }
        layers
    }

    fn set(&mut self, name: String, value: String, origin: Origin) {
        if !value.trim().is_empty() {
            self.values.insert(name, (value, origin));
        }
    }

    fn read_file(&mut self, named: Option<PathBuf>, dir: &Path) {
        let path = named.clone().unwrap_or_else(|| dir.join("wombat.toml"));
        if named.is_none() && !path.exists() {
            return;
        }
        let source = File::from(path.clone()).format(FileFormat::Toml);
        let table = Config::builder()
            .add_source(source)
            .build()
            .and_then(Config::try_deserialize::<BTreeMap<String, config::Value>>);
        match table {
            Ok(table) => {
                for (key, value) in table {
                    self.take_file_key(&path, &key, value);
                }
            }
            Err(error) => {
                let error = error.to_string();
                // What the parser says quotes the line, which may hold a secret.
                let at = error.lines().next().and_then(|line| line.split_once("parse error at "));
                let what = at.map_or_else(
                    || format!("cannot be read: {error}"),
                    |(_, place)| format!("is no TOML at {place} (texts stand in quotes)"),
                );
                self.problems.push(format!("{}: {what}", path.display()));
            }
        }
    }

    fn take_file_key(&mut self, path: &Path, key: &str, value: config::Value) {
        let name = key.to_uppercase();
        if !names::ALL.contains(&name.as_str()) {
            let hint = names::nearest(key)
                .map(|known| format!("; did you mean {}?", known.to_lowercase()))
                .unwrap_or_default();
            self.problems.push(format!("{}: unknown key {key}{hint}", path.display()));
            return;
        }
        match value.into_string() {
            Ok(text) => self.set(name, text, Origin::File(path.to_owned())),
            Err(_) => self.problems.push(format!(
                "{}: {key} must be a string, a number or true or false",
                path.display()
            )),
        }
    }

    fn read_dotenv(&mut self, path: &Path) {
        if !path.exists() {
            return;
        }
        match dotenvy::from_path_iter(path) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok((name, value)) => self.set(name, value, Origin::DotEnv),
                        // The error's text quotes the line, which may hold a secret.
                        Err(_) => self.problems.push(
                            ".env: a line is not of the form NAME=value (quote values that hold \
                             spaces or #)"
                                .to_owned(),
                        ),
                    }
                }
            }
            Err(error) => self.problems.push(format!(".env: cannot be read: {error}")),
        }
    }
}

/// One line of `config`: a setting as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The variable.
    pub name: String,
    /// Its value; `None` when it is not set; a secret is masked.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// The settings as they are in force, in the order in which the program read them.
#[derive(Debug, Clone, Default)]
pub struct Effective(pub Vec<EffectiveSetting>);

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        for setting in &self.0 {
            let value = setting.value.as_deref().unwrap_or("(not set)");
            writeln!(f, "{:width$} = {value}   [{}]", setting.name, setting.origin)?;
        }
        Ok(())
    }
}

/// Reads settings one by one and collects what is wrong with them.
#[derive(Debug)]
pub struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<String>,
    effective: Vec<EffectiveSetting>,
    seen: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// A reader over the layers, whose own problems (an unreadable file, unknown keys) it takes on.
    pub fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            problems: layers.problems.clone(),
            effective: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Text, or the default.
    pub fn text(&mut self, name: &'static str, default: &str) -> String {
        self.lookup(name, Some(default)).unwrap_or_default()
    }

    /// Text that may be missing.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        self.lookup(name, None)
    }

    /// A secret that may be missing.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        debug_assert!(names::is_secret(name), "{name} is not listed as a secret");
        self.lookup(name, None).map(SecretString::from)
    }

    /// A value with a form. `allowed` says which, for the person who has to correct it.
    pub fn parse<T: FromStr>(
        &mut self,
        name: &'static str,
        default: &str,
        allowed: &str,
    ) -> Option<T> {
        let text = self.text(name, default);
        self.parsed(name, &text, allowed)
    }

    /// A value with a form, that may be missing.
    pub fn parse_optional<T: FromStr>(&mut self, name: &'static str, allowed: &str) -> Option<T> {
        let text = self.optional(name)?;
        self.parsed(name, &text, allowed)
    }

    /// A number within bounds. Out of bounds is a problem, and the default is returned.
    pub fn number<T>(&mut self, name: &'static str, default: T, allowed: RangeInclusive<T>) -> T
    where
        T: FromStr + PartialOrd + fmt::Display + Copy,
    {
        let text = self.text(name, &default.to_string());
        match text.trim().replace('_', "").parse::<T>() {
            Ok(number) if allowed.contains(&number) => number,
            Ok(_) | Err(_) => {
                let bounds = format!("a number from {} to {}", allowed.start(), allowed.end());
                self.refuse(name, &text, &bounds);
                default
            }
        }
    }

    /// A time in whole seconds.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(name, default, allowed))
    }

    /// A time in milliseconds.
    pub fn millis(
        &mut self,
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_millis(self.number(name, default, allowed))
    }

    /// `true` or `false`, also `1`, `0`, `yes`, `no`, `on`, `off`.
    pub fn flag(&mut self, name: &'static str, default: bool) -> bool {
        let text = self.text(name, if default { "true" } else { "false" });
        match text.trim().to_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => {
                self.refuse(name, &text, "true or false");
                default
            }
        }
    }

    /// An `http` or `https` URL without credentials, without a slash at its end.
    pub fn url(&mut self, name: &'static str, default: &str) -> String {
        let text = self.text(name, default);
        self.checked_url(name, text)
    }

    /// As [`Reader::url`], but may be missing.
    pub fn optional_url(&mut self, name: &'static str) -> Option<String> {
        let text = self.optional(name)?;
        Some(self.checked_url(name, text))
    }

    /// Says that a setting, alone or with others, cannot be used. Not to be called with a secret's
    /// value in `what`.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// All problems at once, or the settings in force.
    pub fn finish(self) -> Result<Effective, SettingsError> {
        if self.problems.is_empty() {
            Ok(Effective(self.effective))
        } else {
            Err(SettingsError(self.problems))
        }
    }

    fn checked_url(&mut self, name: &'static str, text: String) -> String {
        let allowed = "a URL that begins with http:// or https:// and holds no user name";
        match reqwest::Url::parse(&text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.host_str().is_some() =>
            {
                text.trim_end_matches('/').to_owned()
            }
            // What was meant as a URL may hold a password, so it is not repeated.
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.refuse(name, "a URL with credentials", allowed);
                text
            }
            Ok(_) | Err(_) => {
                self.refuse(name, &text, allowed);
                text
            }
        }
    }

    fn parsed<T: FromStr>(&mut self, name: &'static str, text: &str, allowed: &str) -> Option<T> {
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.refuse(name, text, allowed);
        }
        parsed
    }

    /// A value that is not among what is allowed: says what the setting holds, unless that is a
    /// secret, and where it came from.
    pub fn refuse(&mut self, name: &'static str, value: &str, allowed: &str) {
        let origin = self.layers.values.get(name).map_or(&Origin::Default, |(_, origin)| origin);
        let shown =
            if names::is_secret(name) { "a value".to_owned() } else { format!("{value:?}") };
        self.problems.push(format!("{name}: is {shown} (from {origin}); allowed: {allowed}"));
    }

    fn lookup(&mut self, name: &'static str, default: Option<&str>) -> Option<String> {
        debug_assert!(names::ALL.contains(&name), "{name} is missing in names::ALL");
        let given = self.layers.values.get(name);
        let value = given.map(|(value, _)| value.clone()).or_else(|| default.map(str::to_owned));
        if self.seen.insert(name.to_owned()) {
            let shown = value.as_deref().map(|value| {
                if names::is_secret(name) { "********".to_owned() } else { value.to_owned() }
            });
            let origin = given.map_or(Origin::Default, |(_, origin)| origin.clone());
            self.effective.push(EffectiveSetting { name: name.to_owned(), value: shown, origin });
        }
        value
    }
}

#[cfg(test)]
mod tests;
