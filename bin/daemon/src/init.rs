//! `wombat-daemon init`: writes a workspace to start from.

use std::fs;
use std::path::{Path, PathBuf};

use service::settings::{Layers, Reader, SettingsError};

/// The starter's files.
const FILES: [(&str, &str); 7] = [
    ("AGENTS.md", include_str!("../starter/AGENTS.md")),
    ("SOUL.md", include_str!("../starter/SOUL.md")),
    ("IDENTITY.md", include_str!("../starter/IDENTITY.md")),
    ("TOOLS.md", include_str!("../starter/TOOLS.md")),
    ("HEARTBEAT.md", include_str!("../starter/HEARTBEAT.md")),
    ("skills/mission-control/SKILL.md", include_str!("../starter/skills/mission-control/SKILL.md")),
    ("agent-config.json", include_str!("../starter/agent-config.json")),
];

/// Why the workspace was not written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Files exist; nothing was written.
    #[error("{} would be overwritten; nothing was written. Use --force to replace them", .0.join(", "))]
    Exists(Vec<String>),
    /// A file could not be written.
    #[error("{} could not be written: {cause}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
}

/// The folder that the settings name.
///
/// # Errors
/// When the settings cannot be read.
pub fn folder(layers: &Layers) -> Result<PathBuf, SettingsError> {
    let mut reader = Reader::new(layers);
    let folder = reader.text("WOMBAT_WORKSPACE", "./workspace");
    reader.finish()?;
    // Written as people write it.
    Ok(folder.strip_prefix("./").unwrap_or(&folder).into())
}

/// Writes the files and returns their paths. Overwrites only with `force`, and only these files.
///
/// # Errors
/// When a file exists and `force` is not given, or one cannot be written.
pub fn init(dir: &Path, force: bool) -> Result<Vec<PathBuf>, InitError> {
    let paths = FILES.map(|(name, _)| dir.join(name));
    // A symbolic link counts as existing, whatever its target: the target is not ours to replace.
    let there = |path: &&PathBuf| path.symlink_metadata().is_ok();
    let existing: Vec<String> =
        paths.iter().filter(there).map(|path| path.display().to_string()).collect();
    if !force && !existing.is_empty() {
        return Err(InitError::Exists(existing));
    }
    for ((_, text), path) in FILES.iter().zip(&paths) {
        write(path, text).map_err(|cause| InitError::Write { path: path.clone(), cause })?;
    }
    Ok(paths.into())
}

/// Writes atomically: a running daemon may be watching the folder.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}
