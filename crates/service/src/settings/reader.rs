//! Reading and checking settings one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use super::effective::{Effective, EffectiveSetting, SettingsError};
use super::layers::{Layers, Origin};
use super::names;

/// Reads settings one by one and collects the problems.
#[derive(Debug)]
pub struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<String>,
    effective: Vec<EffectiveSetting>,
    seen: BTreeSet<String>,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    /// A reader of the layers; starts with their own problems (an unreadable file, unknown keys).
    pub fn new(layers: &'a Layers) -> Self {
        Self {
            layers,
            problems: layers.problems.clone(),
            effective: Vec::new(),
            seen: BTreeSet::new(),
            warnings: layers.warnings.clone(),
        }
    }

    /// A string, or the default.
    pub fn text(&mut self, name: &'static str, default: &str) -> String {
        self.lookup(name, Some(default)).unwrap_or_default()
    }

    /// An optional string.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        self.lookup(name, None)
    }

    /// An optional secret.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretString> {
        debug_assert!(names::is_secret(name), "{name} is not listed as a secret");
        self.lookup(name, None).map(SecretString::from)
    }

    /// A value to parse. `allowed` describes the valid values in the error.
    pub fn parse<T: FromStr>(
        &mut self,
        name: &'static str,
        default: &str,
        allowed: &str,
    ) -> Option<T> {
        let text = self.text(name, default);
        self.parsed(name, &text, allowed)
    }

    /// An optional value to parse.
    pub fn parse_optional<T: FromStr>(&mut self, name: &'static str, allowed: &str) -> Option<T> {
        let text = self.optional(name)?;
        self.parsed(name, &text, allowed)
    }

    /// A number within bounds. Otherwise a problem is added and the default returned.
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

    /// A duration in whole seconds.
    pub fn seconds(
        &mut self,
        name: &'static str,
        default: u64,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(name, default, allowed))
    }

    /// A duration in milliseconds.
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

    /// An `http` or `https` URL without credentials; a trailing slash is removed.
    pub fn url(&mut self, name: &'static str, default: &str) -> String {
        let text = self.text(name, default);
        self.checked_url(name, text)
    }

    /// As [`Reader::url`], but optional.
    pub fn optional_url(&mut self, name: &'static str) -> Option<String> {
        let text = self.optional(name)?;
        Some(self.checked_url(name, text))
    }

    /// Shows another text in the place of a setting's value, which may contain a secret.
    pub fn show(&mut self, name: &str, text: &str) {
        for setting in self.effective.iter_mut().filter(|setting| setting.name == name) {
            setting.value = Some(text.to_owned());
        }
    }

    /// Adds a problem of a setting. `what` must not contain the value of a secret.
    pub fn problem(&mut self, name: &str, what: impl fmt::Display) {
        let what = what.to_string();
        // A sentence: `NAME is not set`.
        let colon = if what.starts_with("is ") { "" } else { ":" };
        self.problems.push(format!("{name}{colon} {what}"));
    }

    /// The effective settings, or all problems at once.
    pub fn finish(mut self) -> Result<Effective, SettingsError> {
        // Another program's settings.
        let unread = self.layers.broken.iter().filter(|(name, _)| !self.seen.contains(*name));
        self.warnings.extend(unread.map(|(_, problem)| problem.clone()));
        if self.problems.is_empty() {
            Ok(Effective { settings: self.effective, warnings: self.warnings })
        } else {
            let layers = self.layers;
            let told = self.problems.into_iter().map(|problem| with_meant(problem, layers));
            Err(SettingsError(told.collect()))
        }
    }

    fn checked_url(&mut self, name: &'static str, text: String) -> String {
        // Where it leads, without what may be a key.
        let shown = shown::url(&text).to_string();
        let is_path = |c| matches!(c, '/' | '?' | '#' | '@');
        let whole = text.trim_end_matches('/');
        let shown = if whole.contains(is_path) { shown } else { text.clone() };
        self.show(name, &shown);
        let allowed = "a URL that begins with http:// or https:// and has no user name";
        match reqwest::Url::parse(&text) {
            Ok(url)
                if matches!(url.scheme(), "http" | "https")
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.host_str().is_some() =>
            {
                text.trim_end_matches('/').to_owned()
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                self.refuse(name, "a URL with credentials", allowed);
                text
            }
            Ok(_) | Err(_) => {
                self.refuse(name, &shown, allowed);
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

    /// Adds the problem of an invalid value, with the value, unless it is a secret, its origin, and
    /// what is allowed.
    pub fn refuse(&mut self, name: &'static str, value: &str, allowed: &str) {
        let origin = self.layers.get(name).map_or(Origin::DEFAULT, |(_, origin)| origin);
        let shown =
            if names::is_secret(name) { "a value".to_owned() } else { format!("{value:?}") };
        self.problem(name, format_args!("is {shown} (from {origin}); allowed: {allowed}"));
    }

    fn lookup(&mut self, name: &'static str, default: Option<&str>) -> Option<String> {
        debug_assert!(names::ALL.contains(&name), "{name} is missing in names::ALL");
        let (value, origin) = match self.layers.get(name) {
            Some((value, origin)) => (Some(value), origin),
            None => (default.map(str::to_owned), Origin::DEFAULT),
        };
        if self.seen.insert(name.to_owned()) {
            self.problems.extend(self.layers.broken.get(name).cloned());
            self.warnings.extend(self.layers.notes.get(name).cloned());
            let shown = value.as_deref().map(|value| {
                if names::is_secret(name) { "********".to_owned() } else { value.to_owned() }
            });
            self.effective.push(EffectiveSetting { name: name.to_owned(), value: shown, origin });
        }
        value
    }
}

/// A problem, with what is set in the place of a setting that it names, or the `.env` that is not there.
fn with_meant(problem: String, layers: &Layers) -> String {
    let missing =
        names::words(&problem).filter(|word| names::ALL.contains(word) && !layers.is_set(word));
    let missing: Vec<_> = missing.collect();
    let meant = missing.iter().find_map(|name| layers.meant(name));
    let is_missing =
        missing.first().is_some_and(|name| problem.starts_with(&format!("{name} is not set")));
    let meant = meant.or_else(|| layers.no_dot_env().filter(|_| is_missing));
    meant.map_or_else(|| problem.clone(), |meant| format!("{problem}; {meant}"))
}
