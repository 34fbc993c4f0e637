//! Where the workspace is and how it is read.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// The marker that the first run is over.
pub(crate) const BOOT_MARKER: &str = ".boot-complete";

/// How the text of skills gets into the prompt (`WOMBAT_SKILLS_MODE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SkillsMode {
    /// Inline while it is short altogether, else on demand.
    #[default]
    Auto,
    /// Always inline.
    Inline,
    /// Names and descriptions only; the model reads what it needs.
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

/// Where the workspace is and how it is read.
#[derive(Clone)]
pub struct WorkspaceOptions {
    /// The folder (`WOMBAT_WORKSPACE`).
    pub path: PathBuf,
    /// Another place of `agent-config.json` (`WOMBAT_AGENT_CONFIG`).
    pub agent_config: Option<PathBuf>,
    /// Characters of one file that go into a prompt (`WOMBAT_MAX_FILE_CHARS`).
    pub max_file_chars: usize,
    /// How skills get into the prompt.
    pub skills_mode: SkillsMode,
    /// The environment, for skills' gates and `${NAME}` in the configuration.
    pub env: EnvLookup,
}
