//! The history of the prompt: a file that only its owner can read.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The file's path, in the state directory of the XDG Base Directory Specification; `None` without a
/// home directory.
pub(super) fn file(state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    // The specification says to ignore relative paths.
    let absolute = |dir: Option<OsString>| dir.map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = absolute(state_home)
        .or_else(|| absolute(home).map(|home| home.join(".local").join("state")))?;
    Some(state.join("wombat").join("chat-history"))
}

/// Creates the file if it does not exist, and makes it readable to its owner only.
pub(super) fn prepare(file: &Path) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let opened = options.open(file)?;
    #[cfg(unix)]
    opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(opened);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_in_the_state_folder_or_below_home() {
        let file = |state: Option<&str>, home: Option<&str>| {
            super::file(state.map(Into::into), home.map(Into::into))
        };
        let path = |path: &str| Some(PathBuf::from(path));
        assert_eq!(file(Some("/s"), Some("/h")), path("/s/wombat/chat-history"));
        assert_eq!(file(None, Some("/h")), path("/h/.local/state/wombat/chat-history"));
        assert_eq!(file(Some("s"), Some("/h")), path("/h/.local/state/wombat/chat-history"));
        assert_eq!(file(None, None), None);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_it_even_if_it_was_open_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/b/chat-history");
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        prepare(&file).unwrap();
        assert_eq!(mode(), 0o600);
        std::fs::write(&file, "#V2\nline\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        prepare(&file).unwrap();
        assert_eq!(
            (mode(), std::fs::read_to_string(&file).unwrap().as_str()),
            (0o600, "#V2\nline\n")
        );
    }
}
