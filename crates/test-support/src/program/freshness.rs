//! Builds a program before a test starts it, where its sources have changed since it was built: a
//! test never runs a stale binary.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::ProgramError;

/// What cargo writes only into the root of a target directory.
const CARGO_CACHE: &str = ".rustc_info.json";

/// Held while a program is built, so that parallel test processes build it once.
const LOCK: &str = ".wombat-programs.lock";

/// Where cargo has put the running test, and so where it puts the programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BuildDir {
    target_dir: PathBuf,
    /// The target triple, where the test was built with `--target`.
    triple: Option<String>,
    profile: String,
}

impl BuildDir {
    /// The build directory of a test executable, `TARGET_DIR[/TRIPLE]/PROFILE/deps/NAME-HASH`;
    /// `None` for any other executable.
    pub(super) fn of(exe: &Path) -> Option<Self> {
        let deps = exe.parent().filter(|dir| dir.ends_with("deps"))?;
        let profile_dir = deps.parent()?;
        let profile = profile_dir.file_name()?.to_str()?.to_owned();
        let above = profile_dir.parent()?;
        let is_target_dir = |dir: &Path| dir.join(CARGO_CACHE).is_file();
        if is_target_dir(above) {
            return Some(Self { target_dir: above.to_owned(), triple: None, profile });
        }
        let target_dir = above.parent().filter(|dir| is_target_dir(dir))?.to_owned();
        let triple = above.file_name()?.to_str()?.to_owned();
        Some(Self { target_dir, triple: Some(triple), profile })
    }

    /// Where the programs are.
    fn programs(&self) -> PathBuf {
        let parts = self.triple.iter().chain([&self.profile]);
        parts.fold(self.target_dir.clone(), |dir, part| dir.join(part))
    }

    /// How cargo builds a program into this directory. `--workspace` keeps the features of the
    /// dependencies the same for all programs; without it each would build dependencies of its own.
    fn arguments(&self, name: &str) -> Vec<String> {
        let mut arguments = ["build", "--workspace", "--bin", name].map(str::to_owned).to_vec();
        match self.profile.as_str() {
            "debug" => {}
            "release" => arguments.push("--release".to_owned()),
            other => arguments.extend(["--profile".to_owned(), other.to_owned()]),
        }
        if let Some(triple) = &self.triple {
            arguments.extend(["--target".to_owned(), triple.clone()]);
        }
        arguments.extend(["--target-dir".to_owned(), self.target_dir.display().to_string()]);
        arguments
    }

    /// The program's path, once the program is up to date with the workspace's sources.
    ///
    /// # Errors
    /// When it cannot be built; the error holds cargo's output.
    pub(super) fn up_to_date(&self, workspace: &Path, name: &str) -> Result<PathBuf, ProgramError> {
        let artifact = Artifact::new(&self.programs(), name);
        if artifact.stale(workspace).is_none() {
            return Ok(artifact.program);
        }
        let failed = |what: &str, error: std::io::Error| {
            ProgramError(format!("{name} cannot be built: {what}: {error}"))
        };
        let lock = self.target_dir.join(LOCK);
        let lock = std::fs::File::create(lock).map_err(|error| failed("the lock file", error))?;
        lock.lock().map_err(|error| failed("the lock file", error))?;
        // Another process may have built it in the meantime.
        let Some(reason) = artifact.stale(workspace) else { return Ok(artifact.program) };
        say(&format!("building {name}: {reason}"));
        let begun = SystemTime::now();
        let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(self.arguments(name))
            .current_dir(workspace)
            .output()
            .map_err(|error| failed("cargo", error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(ProgramError(format!("{name} ({reason}) cannot be built:\n{said}")));
        }
        artifact.checked(workspace, begun).map_err(|error| failed("the stamp", error))?;
        Ok(artifact.program)
    }
}

#[allow(clippy::print_stderr, reason = "whoever waits for the tests reads it")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// A program, and what is beside it.
struct Artifact {
    program: PathBuf,
    /// Which sources it was built from, as cargo says.
    dep_info: PathBuf,
    /// Written after a build: its modification time is when that build began. Cargo leaves a program
    /// alone when a newer file, such as Cargo.lock, makes no difference to it; without the stamp it
    /// would count as stale for ever. Its text is the sources that do not exist.
    stamp: PathBuf,
}

impl Artifact {
    fn new(dir: &Path, name: &str) -> Self {
        Self {
            program: dir.join(name),
            dep_info: dir.join(format!("{name}.d")),
            stamp: dir.join(format!(".{name}.checked")),
        }
    }

    /// Why the program must be built; `None` when it is up to date.
    fn stale(&self, workspace: &Path) -> Option<String> {
        let Some(mut checked) = modified(&self.program) else {
            return Some("it does not exist".to_owned());
        };
        let Some(sources) = self.sources(workspace) else {
            return Some("the list of its sources does not exist".to_owned());
        };
        let mut known_missing = String::new();
        if let Some(stamped) = modified(&self.stamp) {
            checked = checked.max(stamped);
            known_missing = std::fs::read_to_string(&self.stamp).unwrap_or_default();
        }
        let manifests = manifests(&sources, workspace);
        sources.iter().chain(&manifests).find_map(|file| match modified(file) {
            Some(changed) => (changed > checked).then(|| format!("{} is newer", file.display())),
            None => {
                let name = file.display().to_string();
                let is_known = known_missing.lines().any(|line| line == name);
                (!is_known).then(|| format!("{name} does not exist"))
            }
        })
    }

    fn sources(&self, workspace: &Path) -> Option<Vec<PathBuf>> {
        let text = std::fs::read_to_string(&self.dep_info).ok()?;
        Some(sources(&text).into_iter().map(|file| workspace.join(file)).collect())
    }

    /// Remembers a successful build that began at this time.
    fn checked(&self, workspace: &Path, begun: SystemTime) -> std::io::Result<()> {
        let sources = self.sources(workspace).unwrap_or_default();
        let missing = sources.iter().filter(|file| !file.exists());
        let text: String = missing.map(|file| format!("{}\n", file.display())).collect();
        std::fs::write(&self.stamp, text)?;
        std::fs::File::options().append(true).open(&self.stamp)?.set_modified(begun)
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

/// The sources that a dep-info file lists: `PROGRAM: SOURCE SOURCE …`, where a space inside of a
/// name is `\ `.
fn sources(dep_info: &str) -> Vec<String> {
    let line = dep_info.lines().next().unwrap_or_default();
    let Some((_, list)) = line.split_once(": ") else { return Vec::new() };
    let list = list.replace("\\ ", "\0");
    list.split_whitespace().map(|name| name.replace('\0', " ")).collect()
}

/// Cargo.lock, and the Cargo.toml of the workspace and of each package that the sources belong to.
fn manifests(sources: &[PathBuf], workspace: &Path) -> Vec<PathBuf> {
    let folders: BTreeSet<&Path> = sources.iter().filter_map(|file| file.parent()).collect();
    let package = |folder: &&Path| {
        let inside = folder.ancestors().take_while(|dir| dir.starts_with(workspace));
        inside.map(|dir| dir.join("Cargo.toml")).find(|file| file.is_file())
    };
    let packages: BTreeSet<PathBuf> = folders.iter().filter_map(package).collect();
    let of_workspace = ["Cargo.lock", "Cargo.toml"].map(|name| workspace.join(name));
    of_workspace.into_iter().filter(|file| file.is_file()).chain(packages).collect()
}

#[cfg(test)]
mod tests;
