//! Options: where the workspace is and how it is loaded.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The marker file of a completed first run.
pub(crate) const BOOT_MARKER: &str = ".boot-complete";

/// How skills become part of the prompt (`WOMBAT_SKILLS_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SkillsMode {
    /// Inline while all skills together are short, else on demand.
    #[default]
    Auto,
    /// Always inline.
    Inline,
    /// Names and descriptions only; the model reads the skills that it needs.
    OnDemand,
}

impl FromStr for SkillsMode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            "inline" => Ok(Self::Inline),
            "on_demand" => Ok(Self::OnDemand),
            _ => Err(()),
        }
    }
}

/// Looks up an environment variable.
pub type EnvLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where the workspace is and how it is loaded.
#[derive(Clone)]
pub struct WorkspaceOptions {
    /// The folder (`WOMBAT_WORKSPACE`).
    pub path: PathBuf,
    /// Another path of `agent-config.json` (`WOMBAT_AGENT_CONFIG`).
    pub agent_config: Option<PathBuf>,
    /// The most characters of one file in a prompt (`WOMBAT_MAX_FILE_CHARS`).
    pub max_file_chars: usize,
    /// How skills become part of the prompt.
    pub skills_mode: SkillsMode,
    /// The environment, for skills' gates and `${NAME}` in the configuration.
    pub env: EnvLookup,
    /// Which variables are the daemon's own secrets: to the configuration they are not set, so that
    /// whoever writes it cannot have them sent to a server.
    pub is_secret: fn(&str) -> bool,
}

impl WorkspaceOptions {
    /// What `${NAME}` in the configuration becomes.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        if (self.is_secret)(name) { None } else { (self.env)(name) }
    }
}
