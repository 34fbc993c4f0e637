//! Applications with a recipe of the page: a file of `tests/tokens` beside the recipe's blocks.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use test_support::program::Program;

use crate::example::SECRET;
use crate::peers;

/// Where an agent's token is put.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// `X-Agent-Token`.
    Header,
    /// `Authorization: Bearer`, as with `AGENT_JWT_BEARER=true`.
    Bearer,
}

/// The end of a line that is left out where tokens come as `Authorization: Bearer`.
const NOT_WITH_BEARER: &str = " not with AGENT_JWT_BEARER=true";

/// An application that answers `GET /me` and `GET /users/{id}`.
pub(super) struct App {
    pub(super) url: String,
    place: Place,
    _server: Option<Program>,
    _dir: TempDir,
}

/// The files of `tests/tokens`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tokens").canonicalize().unwrap()
}

impl App {
    /// An application that runs already.
    pub(super) fn here(url: String) -> Self {
        Self { url, place: Place::Header, _server: None, _dir: tempfile::tempdir().unwrap() }
    }

    /// One in Python, with files of blocks, if these modules are installed.
    pub(super) async fn python(
        modules: &str,
        app: &str,
        files: &[(&str, &[&str])],
        place: Place,
    ) -> Option<Self> {
        let python = peers::tokens_python(modules)?;
        let dir = copy(files, place);
        Some(Self::start(&python, dir, &[app], place).await)
    }

    /// One for node, if these packages are installed.
    pub(super) async fn node(
        packages: &[&str],
        app: &str,
        blocks: &[&str],
        place: Place,
    ) -> Option<Self> {
        let installed = peers::tokens_node(packages)?;
        let end = app.rsplit_once('.').unwrap().1;
        let dir = copy(&[(&format!("agent_token.{end}"), blocks)], place);
        let modules = dir.path().join("node_modules");
        std::os::unix::fs::symlink(installed.join("node_modules"), modules).unwrap();
        let arguments: &[&str] = if end == "mts" { &["--import", "tsx", app] } else { &[app] };
        Some(Self::start(Path::new("node"), dir, arguments, place).await)
    }

    async fn start(program: &Path, dir: TempDir, arguments: &[&str], place: Place) -> Self {
        let settings = [
            ("AGENT_JWT_SECRET", SECRET.to_owned()),
            ("PATH", std::env::var("PATH").unwrap()),
            ("TMPDIR", dir.path().display().to_string()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        let mut server = Program::start_path(program, dir.path(), &settings, arguments).unwrap();
        let url = server.url().await.unwrap();
        Self { url, place, _server: Some(server), _dir: dir }
    }

    /// Status and answer of a request with that token, if there is one.
    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let mut call = reqwest::Client::new().get(format!("{}{path}", self.url));
        if let Some(token) = token {
            call = match self.place {
                Place::Header => call.header("x-agent-token", token),
                Place::Bearer => call.bearer_auth(token),
            };
        }
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// What a person gets who has logged in.
    pub(super) async fn as_person(&self, path: &str) -> (u16, String) {
        let (_, login) = self.get("/login", None).await;
        let login: Value = serde_json::from_str(&login).unwrap();
        let call = reqwest::Client::new().get(format!("{}{path}", self.url));
        let answer = call.bearer_auth(login["token"].as_str().unwrap()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// What a script of `tests/tokens` prints for these tokens: each library's verdicts.
pub(super) async fn verdicts(
    program: &Path,
    dir: &TempDir,
    script: &str,
    tokens: &[String],
) -> Value {
    let tokens = serde_json::to_string(tokens).unwrap();
    let mut run = tokio::process::Command::new(program);
    run.args([script, &tokens]).current_dir(dir.path()).env("AGENT_JWT_SECRET", SECRET);
    let ended = run.env("PYTHONDONTWRITEBYTECODE", "1").kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{said}"))
}

/// A folder with the applications, and with the packages of npm, if there are any.
pub(super) fn scripts(installed: Option<&Path>) -> TempDir {
    let dir = copy(&[], Place::Header);
    if let Some(installed) = installed {
        let modules = dir.path().join("node_modules");
        std::os::unix::fs::symlink(installed.join("node_modules"), modules).unwrap();
    }
    dir
}

/// A folder with the applications and the blocks.
fn copy(files: &[(&str, &[&str])], place: Place) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    for (name, blocks) in files {
        let code = super::page::code(blocks);
        let kept = code
            .lines()
            .filter(|line| place == Place::Header || !line.ends_with(NOT_WITH_BEARER))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        std::fs::write(dir.path().join(name), kept).unwrap();
    }
    dir
}
