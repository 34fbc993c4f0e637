//! Reading the workspace's files: only regular files, only inside the folder, up to a size limit.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The most bytes of one file that are read.
pub(crate) const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What becomes of a file with more than [`MAX_FILE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Oversize {
    /// Its beginning is used: the prompt has room for a part of it only.
    Cut,
    /// It is refused: a rule could be in the part that is not read.
    Refuse,
}

/// The result of reading a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Read {
    /// There is no such file.
    Missing,
    /// Its text, without a byte order mark.
    Text(String),
    /// It exists and cannot be used, with the reason.
    Bad(String),
}

/// A folder whose files can be read; links that lead out of it are rejected.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens the folder at a path; links in the path are resolved once, here.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let root = fs::canonicalize(path)?;
        // A folder that cannot be listed counts as missing.
        fs::read_dir(&root)?;
        Ok(Self { root })
    }

    /// Reads a file of the prompt by its path within the folder.
    pub(crate) fn read(&self, relative: &str) -> Read {
        self.read_with(relative, Oversize::Cut)
    }

    /// Reads a file that holds rules, by its path within the folder: the whole of it, or nothing.
    pub(crate) fn read_whole(&self, relative: &str) -> Read {
        self.read_with(relative, Oversize::Refuse)
    }

    fn read_with(&self, relative: &str, oversize: Oversize) -> Read {
        let path = self.root.join(relative);
        // Checked before it is opened: opening a FIFO would block until a writer comes. Only a name that
        // is not there is missing; one that may not be looked at is there.
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if is_absent(&error) => return Read::Missing,
            Err(error) => return Read::Bad(format!("cannot be read: {error}")),
        }
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) => return Read::Bad(format!("cannot be read: {error}")),
        };
        if !real.starts_with(&self.root) {
            return Read::Bad("is a link that leads out of the workspace".to_owned());
        }
        read_regular(&real, oversize)
    }

    /// Why the names in a subfolder that exists cannot be listed.
    pub(crate) fn unlistable(&self, relative: &str) -> Option<String> {
        let path = self.root.join(relative);
        match fs::symlink_metadata(&path) {
            Ok(_) => {}
            Err(error) if is_absent(&error) => return None,
            Err(error) => return Some(format!("cannot be read: {error}")),
        }
        match fs::canonicalize(&path) {
            Ok(real) if !real.starts_with(&self.root) => {
                Some("is a link that leads out of the workspace".to_owned())
            }
            Ok(real) => match fs::read_dir(real).map(|mut names| names.find_map(Result::err)) {
                Ok(None) => None,
                Ok(Some(error)) | Err(error) => Some(format!("cannot be read: {error}")),
            },
            Err(error) => Some(format!("cannot be read: {error}")),
        }
    }

    /// The names in a subfolder, sorted; empty when it does not exist or leads out of the workspace.
    pub(crate) fn list(&self, relative: &str) -> Vec<String> {
        let inside = fs::canonicalize(self.root.join(relative))
            .is_ok_and(|real| real.starts_with(&self.root));
        if !inside {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(self.root.join(relative)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        names
    }

    /// Whether a name is a folder.
    pub(crate) fn is_dir(&self, relative: &str) -> bool {
        self.root.join(relative).is_dir()
    }
}

/// Whether there is no such name. A file where a folder is expected has nothing below it.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Reads a file outside of the workspace that holds rules: the whole of it, or nothing. A link whose
/// target does not exist is not a missing file, nor is one below such a link.
pub(crate) fn read_outside(path: &Path) -> Read {
    let links = [path.parent(), Some(path)];
    for link in links.into_iter().flatten().filter(|link| !link.as_os_str().is_empty()) {
        if fs::symlink_metadata(link).is_ok()
            && let Err(error) = fs::metadata(link)
        {
            return Read::Bad(format!("cannot be read: {error}"));
        }
    }
    read_regular(path, Oversize::Refuse)
}

/// Reads a regular file as UTF-8 text.
fn read_regular(path: &Path, oversize: Oversize) -> Read {
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => None,
        Ok(_) => Some("is not a regular file".to_owned()),
        Err(error) if is_absent(&error) => return Read::Missing,
        Err(error) => Some(format!("cannot be read: {error}")),
    };
    if let Some(reason) = kind {
        return Read::Bad(reason);
    }
    let mut bytes = Vec::new();
    let result =
        fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    if let Err(error) = result {
        return Read::Bad(format!("cannot be read: {error}"));
    }
    let max = usize::try_from(MAX_FILE_BYTES).unwrap_or(usize::MAX);
    if bytes.len() > max {
        if oversize == Oversize::Refuse {
            return Read::Bad(format!("is larger than {} MiB", MAX_FILE_BYTES >> 20));
        }
        bytes.truncate(max);
        // Not in the middle of a character.
        while bytes.last().is_some_and(|byte| (0x80..0xc0).contains(byte)) {
            bytes.pop();
        }
        if bytes.last().is_some_and(|byte| *byte >= 0xc0) {
            bytes.pop();
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => Read::Text(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            Read::Bad(format!("is not UTF-8 text (line {line}); save it as UTF-8"))
        }
    }
}

/// A hash of the folder's metadata, which changes whenever something below it changes: names, sizes,
/// times, and the targets of links.
pub(crate) fn fingerprint(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    use std::os::unix::fs::MetadataExt;

    const MAX_ENTRIES: usize = 50_000;
    const MAX_DEPTH: usize = 8;

    let mut hasher = DefaultHasher::new();
    let Ok(root) = fs::canonicalize(path) else {
        return 0;
    };
    root.hash(&mut hasher);
    // Whether it may be entered, which changes what is found below it.
    fs::metadata(&root).map(|metadata| metadata.mode()).ok().hash(&mut hasher);
    let mut todo = vec![(root, 0)];
    let mut seen = 0;
    while let Some((dir, depth)) = todo.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // As bytes: comparing paths takes them apart each time.
        paths.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        for path in paths {
            seen += 1;
            if seen > MAX_ENTRIES {
                return hasher.finish();
            }
            path.hash(&mut hasher);
            if let Ok(link) = fs::read_link(&path) {
                link.hash(&mut hasher);
            }
            let Ok(metadata) = fs::metadata(&path) else { continue };
            stamp(&metadata).hash(&mut hasher);
            if metadata.is_dir() && depth < MAX_DEPTH {
                todo.push((path, depth + 1));
            }
        }
    }
    hasher.finish()
}

/// What differs when a file or its permissions have changed.
fn stamp(metadata: &fs::Metadata) -> impl std::hash::Hash + use<> {
    use std::os::unix::fs::MetadataExt;
    (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino(), metadata.mode())
}

/// A hash of one file's metadata and of where it leads.
pub(crate) fn fingerprint_file(path: &Path) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    fs::read_link(path).ok().hash(&mut hasher);
    fs::metadata(path).map(|metadata| stamp(&metadata)).ok().hash(&mut hasher);
    hasher.finish()
}

/// The first `max` characters, and whether the text has more.
pub(crate) fn truncate(text: &str, max: usize) -> (&str, bool) {
    match text.char_indices().nth(max) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_inside_the_folder_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("secret.md");
        fs::write(&outside, "secret").unwrap();
        let root = dir.path().join("workspace");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.md"), "\u{feff}text").unwrap();
        fs::write(root.join("binary.md"), [b'a', b'\n', 0xff]).unwrap();
        std::os::unix::fs::symlink(&outside, root.join("out.md")).unwrap();
        std::os::unix::fs::symlink(root.join("a.md"), root.join("in.md")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("dangling.md")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket.md")).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.read("a.md"), Read::Text("text".into()));
        assert_eq!(folder.read("in.md"), Read::Text("text".into()));
        assert_eq!(folder.read("none.md"), Read::Missing);
        for bad in ["out.md", "binary.md", "dangling.md", "socket.md", "../secret.md"] {
            assert!(matches!(folder.read(bad), Read::Bad(_)), "{bad}: {:?}", folder.read(bad));
        }
        assert!(matches!(folder.read("binary.md"), Read::Bad(why) if why.contains("line 2")));
    }

    #[test]
    fn a_fifo_does_not_hang_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let status =
            std::process::Command::new("mkfifo").arg(dir.path().join("AGENTS.md")).status();
        assert!(status.unwrap().success());
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.read("AGENTS.md"), Read::Bad("is not a regular file".into()));
    }

    #[test]
    fn any_change_changes_the_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = fingerprint(dir.path());
        for (name, text) in [("a", "1"), ("a", "22"), ("b", "")] {
            fs::write(dir.path().join(name), text).unwrap();
            let now = fingerprint(dir.path());
            assert_ne!(now, last);
            last = now;
        }
        assert_eq!(fingerprint(dir.path()), last);
    }

    #[test]
    fn a_file_that_is_there_but_cannot_be_read_is_not_missing() {
        let dir = tempfile::tempdir().unwrap();
        let (root, beside) = (dir.path().join("workspace"), dir.path().join("config"));
        fs::create_dir(&root).unwrap();
        let config = beside.join("a.json");
        assert_eq!(read_outside(&config), Read::Missing);
        fs::write(&beside, "a file where a folder could be").unwrap();
        assert_eq!(read_outside(&config), Read::Missing);
        fs::remove_file(&beside).unwrap();
        std::os::unix::fs::symlink("nowhere", &beside).unwrap();
        assert!(matches!(read_outside(&config), Read::Bad(_)), "below a dangling link");
        fs::remove_file(&beside).unwrap();
        fs::create_dir(&beside).unwrap();
        std::os::unix::fs::symlink("nowhere", &config).unwrap();
        assert!(matches!(read_outside(&config), Read::Bad(_)), "a dangling link");
        fs::remove_file(&config).unwrap();
        fs::create_dir(&config).unwrap();
        assert!(matches!(read_outside(&config), Read::Bad(_)), "a folder");
        std::os::unix::fs::symlink("nowhere", root.join("skills")).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("souls")).unwrap();
        let folder = Folder::open(&root).unwrap();
        assert_eq!(folder.unlistable("memory"), None);
        for name in ["skills", "souls"] {
            assert!(folder.unlistable(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_too_large_is_cut_for_a_prompt_and_refused_as_a_rule() {
        let dir = tempfile::tempdir().unwrap();
        let max = usize::try_from(MAX_FILE_BYTES).unwrap();
        fs::write(dir.path().join("a"), "x".repeat(max - 1) + "é").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert_eq!(folder.read("a"), Read::Text("x".repeat(max - 1)));
        assert_eq!(folder.read_whole("a"), Read::Bad("is larger than 16 MiB".into()));
        fs::write(dir.path().join("a"), "x".repeat(max)).unwrap();
        assert_eq!(folder.read_whole("a"), Read::Text("x".repeat(max)));
    }

    proptest::proptest! {
        #[test]
        fn a_cut_is_at_a_character_and_never_over_the_limit(text in "\\PC{0,40}", max in 0_usize..50) {
            let (cut, more) = truncate(&text, max);
            proptest::prop_assert!(text.starts_with(cut));
            proptest::prop_assert_eq!(cut.chars().count(), max.min(text.chars().count()));
            proptest::prop_assert_eq!(more, text.chars().count() > max);
        }
    }
}
