//! The layers of settings, from a file to the flags. The crate `config` lays one over the other and
//! carries each value's origin along; the built-in defaults are the [`Reader`](super::Reader)'s.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, ConfigError, File, FileFormat, Map, Source, Value};

use super::env_layer::DotEnv;
use super::names;
use crate::proxies::Proxies;

/// Where a value came from, in words: `default`, the path of a settings file, `.env` with the number
/// of the line, `environment` or `flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Cow<'static, str>);

impl Origin {
    /// Built in.
    pub const DEFAULT: Self = Self(Cow::Borrowed("default"));
    /// The environment.
    pub const ENVIRONMENT: Self = Self(Cow::Borrowed("environment"));
    /// A command line flag.
    pub const FLAG: Self = Self(Cow::Borrowed("flag"));

    /// A line of `.env` in the working directory.
    pub(super) fn dot_env(line: usize) -> Self {
        Self(Cow::Owned(format!(".env:{line}")))
    }

    /// A settings file.
    fn file(path: &Path) -> Self {
        Self(Cow::Owned(path.display().to_string()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sources of the layers.
#[derive(Debug, Default)]
pub struct LoadOptions {
    /// `--config FILE`. Without it `wombat.toml` in `dir` is read if it is there.
    pub config_file: Option<PathBuf>,
    /// The working directory, for `wombat.toml` and `.env`.
    pub dir: PathBuf,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The variables of the environment whose values are not UTF-8.
    pub unreadable: Vec<String>,
    /// Flags of the command line, by the variable that they set.
    pub flags: Vec<(&'static str, String)>,
}

/// The values of one layer with their origins, by variable. Only known variables: the names of others may
/// be paths to `config`, such as `A.B` or `A[9]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer(pub(super) BTreeMap<String, (String, Origin)>);

impl Layer {
    fn new<N: Into<String>>(
        origin: &Origin,
        values: impl IntoIterator<Item = (N, String)>,
    ) -> Self {
        let mut layer = Self::default();
        for (name, value) in values {
            layer.set(name.into(), value, origin.clone());
        }
        layer
    }

    /// An empty value counts as none, so that `KEY=` in a file of examples means "not set".
    pub(super) fn set(&mut self, name: String, value: String, origin: Origin) {
        if value.trim().is_empty() {
            self.0.remove(&name);
        } else if names::ALL.contains(&name.as_str()) {
            self.0.insert(name, (value, origin));
        }
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let value =
            |(text, origin): &(String, Origin)| Value::new(Some(&origin.to_string()), text.clone());
        Ok(self.0.iter().map(|(name, entry)| (name.clone(), value(entry))).collect())
    }
}

/// All values that are set, with their origins.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: Map<String, Value>,
    pub(super) problems: Vec<String>,
    /// What is wrong with the lines of `.env`, and the slips in the names of settings that protect, by
    /// variable: a problem of the program that reads it.
    pub(super) broken: BTreeMap<String, String>,
    /// What should be known of a value that comes from `.env`, by variable.
    pub(super) notes: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
    /// The names that are no settings, with their line of `.env`.
    others: Vec<(Option<usize>, String)>,
    variables: Variables,
    /// The working directory, where it has no `.env`.
    without_dot_env: Option<PathBuf>,
}

/// The variables of the environment and of `.env`, for files that name them: `.env` belongs to the whole
/// application, and other readers put it into the environment.
#[derive(Clone, Default)]
pub struct Variables(Arc<BTreeMap<String, String>>);

/// Without values: there are secrets among them.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables").finish_non_exhaustive()
    }
}

impl Variables {
    /// A variable's value. The environment comes before `.env`, and an empty value counts as none.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// What `${NAME}` in a file of the workspace becomes. The secrets of the programs count as not set.
    pub fn named(&self, name: &str) -> Option<String> {
        if names::is_own_secret(name) { None } else { self.get(name) }
    }
}

impl Layers {
    /// Reads file and `.env`, and lays environment and flags over them.
    pub fn load(options: LoadOptions) -> Self {
        let mut problems = Vec::new();
        let file = read_file(options.config_file, &options.dir, &mut problems);
        // Without it a key would count as not set, and the door would be open.
        let ours = options.unreadable.iter().filter(|name| names::ALL.contains(&name.as_str()));
        problems.extend(ours.map(|name| format!("{name}: its value is not UTF-8")));
        let mut warnings = Vec::new();
        let get = |name: &str| options.env.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let proxies = Proxies::read(get);
        problems.extend_from_slice(proxies.problems());
        warnings.extend(proxies.unread_exceptions().iter().map(|entry| {
            format!("NO_PROXY: {entry:?} is neither a name, an address nor a range, and lets nothing past")
        }));
        let without_dot_env =
            is_absent(&options.dir.join(".env")).then(|| options.dir.canonicalize().ok()).flatten();
        let mut dot_env = DotEnv::read(&options.dir.join(".env"), &options.env, &mut problems);
        warnings.append(&mut dot_env.warnings);
        let mut variables = std::mem::take(&mut dot_env.values);
        let is_there = |value: &String| !value.trim().is_empty();
        variables.extend(options.env.iter().filter(|(_, value)| is_there(value)).cloned());
        variables.retain(|_, value| is_there(value));
        let is_set = |name: &str| variables.contains_key(name);
        let mut slips: Vec<_> = options.env.iter().map(|(name, _)| ("".into(), name)).collect();
        slips.extend(dot_env.others.iter().map(|(line, name)| (format!(".env:{line}: "), name)));
        let slips = slips.into_iter().filter_map(|(place, name)| {
            let told = format!("{place}{}", names::misspelled(name, &is_set)?);
            Some((names::protecting(name).filter(|_| is_set(name)), told))
        });
        let (open, slips): (Vec<_>, Vec<_>) = slips.partition(|(meant, _)| meant.is_some());
        warnings.splice(0..0, slips.into_iter().map(|(_, told)| told));
        let lines = std::mem::take(&mut dot_env.others).into_iter();
        let names = options.env.iter().map(|(name, _)| (None, name.clone()));
        let others = lines.map(|(line, name)| (Some(line), name)).chain(names).collect();
        let environment = Layer::new(&Origin::ENVIRONMENT, options.env);
        let flags = Layer::new(&Origin::FLAG, options.flags);
        dot_env.overridden_by(&[&environment, &flags]);
        warnings.append(&mut dot_env.warnings);
        let DotEnv { layer, mut broken, notes, .. } = dot_env;
        let merged = Self::merge([file, layer, environment, flags], problems);
        for (meant, told) in open.into_iter().filter_map(|(meant, told)| Some((meant?, told))) {
            if merged.is_set(meant) {
                warnings.push(told);
                continue;
            }
            // As with a value that is not UTF-8: somebody wants the door closed.
            broken.entry(meant.to_owned()).or_insert(format!(
                "{told} That one protects, and is not set: correct the name, or remove the variable"
            ));
        }
        let variables = Variables(Arc::new(variables));
        Self { broken, notes, warnings, others, variables, without_dot_env, ..merged }
    }

    /// The variables of the environment and of `.env`, whoever they belong to.
    pub fn variables(&self) -> Variables {
        self.variables.clone()
    }

    /// The process's own environment and working directory.
    pub fn of_process(config_file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        let (mut env, mut unreadable) = (Vec::new(), Vec::new());
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 cannot be one of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => env.push((name, value)),
                Err(_) => unreadable.push(name),
            }
        }
        Self::load(LoadOptions { config_file, dir: PathBuf::from("."), env, unreadable, flags })
    }

    /// Only these values, as if from the environment: for tests.
    pub fn from_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let pairs = pairs.into_iter().map(|(name, value)| (name.into(), value.into()));
        let pairs: BTreeMap<String, String> = pairs.collect();
        let merged = Self::merge([Layer::new(&Origin::ENVIRONMENT, pairs.clone())], Vec::new());
        Self { variables: Variables(Arc::new(pairs)), ..merged }
    }

    /// The later layer wins.
    fn merge(layers: impl IntoIterator<Item = Layer>, mut problems: Vec<String>) -> Self {
        let builder =
            layers.into_iter().fold(Config::builder(), |all, layer| all.add_source(layer));
        let values = builder.build().and_then(|config| config.collect()).unwrap_or_else(|_| {
            // The error's text may quote a value, which may be a secret.
            problems.push("the settings cannot be read together".to_owned());
            Map::new()
        });
        Self { values, problems, ..Self::default() }
    }

    /// What is set in the place of a setting that is not, under a name that nearly is its name.
    pub(super) fn meant(&self, missing: &str) -> Option<String> {
        self.others.iter().find_map(|(line, name)| {
            let told = names::missed(name, missing)?;
            Some(line.map_or_else(|| told.clone(), |line| format!(".env:{line}: {told}")))
        })
    }

    /// Says that the working directory has no `.env`, if it has none.
    pub(super) fn no_dot_env(&self) -> Option<String> {
        let dir = self.without_dot_env.as_ref()?;
        Some(format!("there is no .env in {}", dir.display()))
    }

    /// Whether a variable has a value.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The value of a variable and where it came from.
    pub(super) fn get(&self, name: &str) -> Option<(String, Origin)> {
        let value = self.values.get(name)?.clone();
        let origin = Origin(Cow::Owned(value.origin().unwrap_or_default().to_owned()));
        Some((value.into_string().ok()?, origin))
    }
}

/// Whether there is no such file. One that may not be read, and a link that leads nowhere, are there.
pub(super) fn is_absent(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

fn read_file(named: Option<PathBuf>, dir: &Path, problems: &mut Vec<String>) -> Layer {
    let path = named.clone().unwrap_or_else(|| dir.join("wombat.toml"));
    let mut layer = Layer::default();
    if named.is_none() && is_absent(&path) {
        return layer;
    }
    // As text: the parser would replace what is not UTF-8, in a key as well.
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(format!("{}: cannot be read: {error}", path.display()));
            return layer;
        }
    };
    match File::from_str(&text, FileFormat::Toml).collect() {
        Ok(table) => {
            for (key, value) in table.into_iter().collect::<BTreeMap<_, _>>() {
                match file_value(&key, value) {
                    Ok(_) if layer.0.contains_key(&key.to_uppercase()) => {
                        let what = format!("{} stands twice", key.to_lowercase());
                        problems.push(format!("{}: {what}", path.display()));
                    }
                    Ok(value) => layer.set(key.to_uppercase(), value, Origin::file(&path)),
                    Err(what) => problems.push(format!("{}: {what}", path.display())),
                }
            }
        }
        Err(error) => {
            let error = error.to_string();
            // What the parser says quotes the line, which may hold a secret.
            let at = error.lines().next().and_then(|line| line.split_once("parse error at "));
            let what = at.map_or_else(
                || format!("cannot be read: {error}"),
                |(_, place)| format!("is not valid TOML at {place} (strings need quotes)"),
            );
            problems.push(format!("{}: {what}", path.display()));
        }
    }
    layer
}

/// The text of a key's value, or what is wrong with the key.
fn file_value(key: &str, value: Value) -> Result<String, String> {
    if !names::ALL.contains(&key.to_uppercase().as_str()) {
        let hint = names::nearest(key)
            .map(|known| format!("; did you mean {}?", known.to_lowercase()))
            .unwrap_or_default();
        return Err(format!("unknown key {key}{hint}"));
    }
    value.into_string().map_err(|_| format!("{key} must be a string, a number or true or false"))
}
