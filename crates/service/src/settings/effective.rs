//! The result of reading settings: the effective ones, or the problems.

use std::fmt;

use super::layers::Origin;

/// Settings that cannot be used; each line names one problem and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

/// One line of `config`: an effective setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// The name of the variable.
    pub name: String,
    /// Its value, masked if it is a secret; `None` when it is not set.
    pub value: Option<String>,
    /// Where it came from.
    pub origin: Origin,
}

/// The effective settings.
#[derive(Debug, Clone, Default)]
pub struct Effective {
    /// Each setting, in the order in which the program read them.
    pub settings: Vec<EffectiveSetting>,
    /// What should be corrected although the program can start: a misspelled name, a secret that other
    /// readers of `.env` read otherwise.
    pub warnings: Vec<String>,
}

impl Effective {
    /// Logs the warnings, one line each.
    pub fn log_warnings(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            self.settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
        for setting in &self.settings {
            let value = setting.value.as_deref().unwrap_or("(not set)");
            writeln!(f, "{:width$} = {value}   [{}]", setting.name, setting.origin)?;
        }
        Ok(())
    }
}
