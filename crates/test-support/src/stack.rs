//! Backend, daemon and dispatcher as processes on free ports.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Program, ProgramError};

/// How a stack is set up.
#[derive(Debug, Clone, Default)]
pub struct StackOptions {
    /// Further settings of the daemon, beside addresses and secrets; without `LLM_PROVIDER` the
    /// offline provider is used.
    pub daemon: Vec<(&'static str, String)>,
    /// Settings of all programs.
    pub everywhere: Vec<(&'static str, String)>,
    /// The folder with `workspace/` and `config/agent-config.json`.
    pub example: PathBuf,
    /// The backend's port; a free one when absent.
    pub backend_port: Option<u16>,
    /// The daemon's port; a free one when absent.
    pub daemon_port: Option<u16>,
}

/// The running programs. All are killed when this is dropped.
#[derive(Debug)]
pub struct Stack {
    /// `wombat-mission-control`.
    pub backend: Program,
    /// `wombat-daemon`.
    pub daemon: Program,
    /// `wombat-dispatcher`.
    pub dispatcher: Program,
    /// The backend's URL.
    pub backend_url: String,
    /// The daemon's URL.
    pub daemon_url: String,
    everywhere: Vec<(&'static str, String)>,
    secrets: Secrets,
    dir: TempDir,
}

/// The shared secrets; generated for each stack.
#[derive(Debug, Clone)]
struct Secrets {
    agent: String,
    internal: String,
    daemon: String,
}

fn secret() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// The example workspace of this repository: where this was compiled or, where a target folder is shared by
/// several clones and that one is gone, below the current folder.
pub fn example() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workspace-example");
    if own.is_dir() { own } else { PathBuf::from("workspace-example") }
}

impl Stack {
    /// Starts all three and waits until they serve.
    ///
    /// # Errors
    /// When a program cannot be built, or does not start to listen.
    pub async fn start(options: &StackOptions) -> Result<Self, ProgramError> {
        let dir = tempfile::tempdir().map_err(|error| ProgramError(error.to_string()))?;
        let secrets = Secrets { agent: secret(), internal: secret(), daemon: secret() };
        let mut settings = vec![
            ("AGENT_JWT_SECRET", secrets.agent.clone()),
            ("INTERNAL_API_TOKEN", secrets.internal.clone()),
            ("MC_DATA_DIR", dir.path().join("data").display().to_string()),
            ("MC_PORT", options.backend_port.unwrap_or_default().to_string()),
            ("MC_DEMO", "true".to_owned()),
        ];
        settings.extend(options.everywhere.iter().cloned());
        let mut backend = Program::start("wombat-mission-control", dir.path(), &settings, &[])?;
        let backend_url = backend.url().await?;
        let mut daemon = daemon(dir.path(), &secrets, &backend_url, options)?;
        let daemon_url = daemon.url().await?;
        let everywhere = options.everywhere.clone();
        let dispatcher = dispatcher(dir.path(), &secrets, &backend_url, &daemon_url, &everywhere)?;
        Ok(Self { backend, daemon, dispatcher, backend_url, daemon_url, everywhere, secrets, dir })
    }

    /// Starts another daemon on the same backend, on a free port, and returns its URL.
    ///
    /// # Errors
    /// When it cannot be started or does not listen.
    pub async fn another_daemon(
        &self,
        options: &StackOptions,
    ) -> Result<(Program, String), ProgramError> {
        let options = StackOptions { daemon_port: None, ..options.clone() };
        let mut daemon = daemon(self.dir.path(), &self.secrets, &self.backend_url, &options)?;
        let url = daemon.url().await?;
        Ok((daemon, url))
    }

    /// Restarts the dispatcher, as a supervisor would after a crash.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart_dispatcher(&mut self) -> Result<(), ProgramError> {
        self.dispatcher = dispatcher(
            self.dir.path(),
            &self.secrets,
            &self.backend_url,
            &self.daemon_url,
            &self.everywhere,
        )?;
        Ok(())
    }

    /// A client of the backend that acts as this person.
    pub fn person(&self, user_id: &str) -> Person {
        Person::new(&self.backend_url, &self.secrets.internal, user_id)
    }

    /// The value of `X-Internal-Token`.
    pub fn internal_token(&self) -> &str {
        &self.secrets.internal
    }

    /// The value of `X-Agent-Daemon-Key`.
    pub fn daemon_key(&self) -> &str {
        &self.secrets.daemon
    }

    /// The secret that agent tokens are signed with.
    pub fn agent_secret(&self) -> &str {
        &self.secrets.agent
    }

    /// Stops the dispatcher, the daemon and then the backend.
    ///
    /// # Errors
    /// When one does not stop, or exits with an error.
    pub async fn stop(&mut self) -> Result<(), ProgramError> {
        for program in [&mut self.dispatcher, &mut self.daemon, &mut self.backend] {
            let status = program.stop().await?;
            if !status.success() {
                let (name, log) = (program.name(), program.log());
                return Err(ProgramError(format!("{name} exited with {status}. Its log:\n{log}")));
            }
        }
        Ok(())
    }
}

/// A client of the backend that acts as a person, with the internal token.
#[derive(Debug, Clone)]
pub struct Person {
    http: reqwest::Client,
    url: String,
    internal_token: String,
    user_id: String,
}

impl Person {
    /// A client for the backend at this URL, with its internal token.
    pub fn new(backend_url: &str, internal_token: &str, user_id: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: backend_url.to_owned(),
            internal_token: internal_token.to_owned(),
            user_id: user_id.to_owned(),
        }
    }

    /// Reads `/api/mission-control` and the path.
    ///
    /// # Errors
    /// When the backend cannot be reached or returns an error.
    pub async fn get(&self, path: &str) -> Result<Value, ProgramError> {
        self.call(self.http.get(self.at(path))).await
    }

    /// Posts to `/api/mission-control` and the path.
    ///
    /// # Errors
    /// When the backend cannot be reached or returns an error.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ProgramError> {
        self.call(self.http.post(self.at(path)).json(body)).await
    }

    /// Puts to `/api/mission-control` and the path.
    ///
    /// # Errors
    /// When the backend cannot be reached or returns an error.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, ProgramError> {
        self.call(self.http.put(self.at(path)).json(body)).await
    }

    /// Patches `/api/mission-control` and the path.
    ///
    /// # Errors
    /// When the backend cannot be reached or returns an error.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, ProgramError> {
        self.call(self.http.patch(self.at(path)).json(body)).await
    }

    /// Deletes `/api/mission-control` and the path.
    ///
    /// # Errors
    /// When the backend cannot be reached or returns an error.
    pub async fn delete(&self, path: &str) -> Result<(), ProgramError> {
        self.ask(self.http.delete(self.at(path))).await.map(drop)
    }

    /// The items of a list.
    ///
    /// # Errors
    /// As [`Person::get`].
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, ProgramError> {
        let mut page = self.get(path).await?;
        match page["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(ProgramError(format!("{path} is no list"))),
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}/api/mission-control{path}", self.url)
    }

    async fn call(&self, call: reqwest::RequestBuilder) -> Result<Value, ProgramError> {
        let text = self.ask(call).await?;
        serde_json::from_str(&text).map_err(|error| ProgramError(error.to_string()))
    }

    async fn ask(&self, call: reqwest::RequestBuilder) -> Result<String, ProgramError> {
        let call = call
            .header("x-internal-token", &self.internal_token)
            .header("x-on-behalf-of", &self.user_id);
        let failed = |error: reqwest::Error| ProgramError(error.to_string());
        let answer = call.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if !status.is_success() {
            return Err(ProgramError(format!("the backend answered {status}: {text}")));
        }
        Ok(text)
    }
}

fn daemon(
    dir: &Path,
    secrets: &Secrets,
    backend_url: &str,
    options: &StackOptions,
) -> Result<Program, ProgramError> {
    let example = options.example.canonicalize().map_err(|error| {
        ProgramError(format!("{} cannot be found: {error}", options.example.display()))
    })?;
    let mut settings = vec![
        ("AGENT_JWT_SECRET", secrets.agent.clone()),
        ("AGENT_DAEMON_API_KEY", secrets.daemon.clone()),
        ("BACKEND_URL", backend_url.to_owned()),
        ("WOMBAT_PORT", options.daemon_port.unwrap_or_default().to_string()),
        ("WOMBAT_WORKSPACE", example.join("workspace").display().to_string()),
        ("WOMBAT_AGENT_CONFIG", example.join("config/agent-config.json").display().to_string()),
    ];
    if !options.daemon.iter().any(|(name, _)| *name == "LLM_PROVIDER") {
        settings.push(("LLM_PROVIDER", "offline".to_owned()));
    }
    settings.extend(options.everywhere.iter().chain(&options.daemon).cloned());
    Program::start("wombat-daemon", dir, &settings, &[])
}

fn dispatcher(
    dir: &Path,
    secrets: &Secrets,
    backend: &str,
    daemon: &str,
    everywhere: &[(&'static str, String)],
) -> Result<Program, ProgramError> {
    let mut settings = vec![
        ("INTERNAL_API_TOKEN", secrets.internal.clone()),
        ("AGENT_DAEMON_API_KEY", secrets.daemon.clone()),
        ("BACKEND_URL", backend.to_owned()),
        ("AGENT_DAEMON_URL", daemon.to_owned()),
        // A person is waiting.
        ("DISPATCH_MIN_INTERVAL_SEC", "0.2".to_owned()),
        ("DISPATCH_MAX_INTERVAL_SEC", "1".to_owned()),
        ("DISPATCH_LEASE_SECONDS", "2".to_owned()),
    ];
    settings.extend(everywhere.iter().cloned());
    Program::start("wombat-dispatcher", dir, &settings, &[])
}
