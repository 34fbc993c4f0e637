//! The layers of settings, from the built-in defaults to the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{Config, File, FileFormat};

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
    pub(super) values: BTreeMap<String, (String, Origin)>,
    pub(super) problems: Vec<String>,
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
