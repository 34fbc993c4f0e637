//! Finds and reads `agent-config.json`.

use std::path::{Path, PathBuf};

use service::settings::{Reader, Variables};
use wombat_core::agent_config::AgentConfig;

/// The file and its contents: at `WOMBAT_AGENT_CONFIG`, else in `WOMBAT_WORKSPACE`, else in `config`
/// beside the workspace (docs/WORKSPACE.md). `None` when there is none.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    variables: &Variables,
) -> Option<(PathBuf, AgentConfig)> {
    let workspace = PathBuf::from(reader.text("WOMBAT_WORKSPACE", "./workspace"));
    let named = reader.optional("WOMBAT_AGENT_CONFIG").map(PathBuf::from);
    let path = match named {
        Some(path) => path,
        None => candidates(&workspace).into_iter().find(|path| path.exists())?,
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            reader.problem("WOMBAT_AGENT_CONFIG", format!("{}: {error}", path.display()));
            return None;
        }
    };
    match AgentConfig::parse(&text, &|name| variables.named(name)) {
        Ok(config) => Some((path, config)),
        Err(error) => {
            let line = error.line.map(|line| format!(", line {line}")).unwrap_or_default();
            reader.problem("agent-config.json", format!("{}{line}: {error}", path.display()));
            None
        }
    }
}

fn candidates(workspace: &Path) -> [PathBuf; 2] {
    const NAME: &str = "agent-config.json";
    [workspace.join(NAME), workspace.join("../config").join(NAME)]
}
