//! MCP servers of `mcp.json`: keeps them connected, lists and calls their tools.
//!
//! Each server has a background task that connects, lists the tools, lists them again when the
//! server reports a change, and reconnects after a failure. A failing server costs only its own
//! tools. No server gets a token of the backend.

mod answer;
mod connection;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use retry::Backoff;
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use rmcp::service::{Peer, RoleClient, ServiceError};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wombat_core::mcp_config::{McpConfig, ServerConfig};

use super::reply::ToolReply;
use connection::Connection;

/// How long a run waits for servers that are connecting for the first time.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// How long a call waits for a server that is reconnecting.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// The timeout of listing tools.
const LIST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often tools are listed without a reported change: some servers never report one, and a remote
/// server that is gone is only noticed by a call.
const LIST_INTERVAL: Duration = Duration::from_secs(60);

/// The delays between attempts to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The timeout of stopping the servers when the daemon stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of tools of one server.
const MAX_TOOLS: usize = 1_000;

/// A tool as its server describes it.
#[derive(Debug, PartialEq)]
pub(super) struct McpTool {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) schema: Value,
}

/// The tools of one server.
pub(super) type McpTools = Arc<[Arc<McpTool>]>;

/// A server with its tools.
pub(super) type Listed = (Arc<McpServer>, McpTools);

/// All servers.
#[derive(Debug)]
pub(super) struct McpServers {
    http: reqwest::Client,
    workspace: PathBuf,
    running: Mutex<Running>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Running {
    config: Arc<McpConfig>,
    servers: BTreeMap<String, Arc<McpServer>>,
}

/// A configured server, connected or not.
#[derive(Debug)]
pub(super) struct McpServer {
    name: String,
    config: ServerConfig,
    state: watch::Sender<ServerState>,
    /// Notified when a call or a run needs the server now.
    wanted: Notify,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Default)]
struct ServerState {
    /// The last list; kept while the server is disconnected, so that calls fail with a reason.
    tools: Option<McpTools>,
    peer: Option<Peer<RoleClient>>,
    error: Option<String>,
    /// Name and version that the server reports.
    about: Option<String>,
}

impl ServerState {
    fn is_settled(&self) -> bool {
        self.tools.is_some() || self.error.is_some()
    }
}

impl McpServers {
    /// No servers yet. Programs run in `workspace`.
    pub(super) fn new(http: reqwest::Client, workspace: PathBuf) -> Self {
        Self {
            http,
            workspace,
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The servers of a configuration with their tools. Starts and stops servers as needed; waits only
    /// for servers that are connecting for the first time.
    pub(super) async fn get(&self, config: &Arc<McpConfig>) -> Vec<Listed> {
        let servers = self.reconcile(config);
        if servers.is_empty() {
            return Vec::new();
        }
        let first = async {
            for server in &servers {
                let mut state = server.state.subscribe();
                // The sender lives in the server.
                let _settled = state.wait_for(ServerState::is_settled).await.map(drop);
            }
        };
        let _timeout = timeout(FIRST_WAIT, first).await;
        let listed = servers.into_iter().filter_map(|server| {
            let tools = server.state.borrow().tools.clone()?;
            Some((server, tools))
        });
        listed.collect()
    }

    /// Starts and stops servers so that exactly the configured ones run.
    pub(super) fn reconcile(&self, config: &Arc<McpConfig>) -> Vec<Arc<McpServer>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&running.config, config) && !self.stop.is_cancelled() {
            running.config = config.clone();
            let mut before = std::mem::take(&mut running.servers);
            for (name, entry) in &config.servers {
                let Ok(wanted) = entry else { continue };
                let server = match before.remove(name) {
                    Some(server) if server.config == *wanted => server,
                    changed => {
                        if let Some(changed) = changed {
                            changed.stop.cancel();
                        }
                        self.start(name, wanted)
                    }
                };
                running.servers.insert(name.clone(), server);
            }
            for gone in before.into_values() {
                gone.stop.cancel();
            }
        }
        running.servers.values().cloned().collect()
    }

    fn start(&self, name: &str, config: &ServerConfig) -> Arc<McpServer> {
        let server = Arc::new(McpServer {
            name: name.to_owned(),
            config: config.clone(),
            state: watch::Sender::new(ServerState::default()),
            wanted: Notify::new(),
            stop: self.stop.child_token(),
        });
        let (supervised, http, workspace) =
            (server.clone(), self.http.clone(), self.workspace.clone());
        self.tasks.spawn(async move { supervised.supervise(http, workspace).await });
        server
    }

    /// The state of each server, for `/health`.
    pub(super) fn report(&self, config: &McpConfig, problems: &[(String, String)]) -> Value {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = Map::new();
        for (name, entry) in &config.servers {
            let mut entry = match (entry, running.servers.get(name)) {
                (Err(why), _) => json!({ "status": "error", "error": why }),
                (Ok(_), None) => json!({ "status": "unchecked" }),
                (Ok(_), Some(server)) => server.report(),
            };
            let problems: Vec<_> = problems.iter().filter(|(of, _)| of == name).collect();
            if !problems.is_empty() {
                entry["problems"] = problems.into_iter().map(|(_, what)| what.as_str()).collect();
            }
            report.insert(name.clone(), entry);
        }
        Value::Object(report)
    }

    /// Stops them all and waits for the programs to end.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not stop in time");
        }
    }
}

impl McpServer {
    /// Its name in `mcp.json`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long a call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    fn report(&self) -> Value {
        let state = self.state.borrow();
        let status = match (&state.error, &state.tools) {
            (Some(_), _) => "error",
            (None, Some(_)) => "ok",
            (None, None) => "connecting",
        };
        let mut report = json!({ "status": status });
        if let Some(tools) = &state.tools {
            report["tools"] = tools.len().into();
        }
        if let Some(error) = &state.error {
            report["error"] = error.as_str().into();
        }
        if let Some(about) = &state.about {
            report["server"] = about.as_str().into();
        }
        report
    }

    /// Keeps the server connected until it is stopped.
    async fn supervise(&self, http: reqwest::Client, workspace: PathBuf) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let mut connection = None;
            let ended = tokio::select! {
                () = self.stop.cancelled() => None,
                why = self.serve(&http, &workspace, &mut connection) => Some(why),
            };
            self.state.send_modify(|state| state.peer = None);
            let last_line = match connection {
                Some(connection) => connection.close().await,
                None => None,
            };
            let Some(why) = ended else { return };
            self.set_failed(&why, last_line.as_deref());
            // A server that worked for a while is retried from the shortest delay.
            if started.elapsed() > LIST_INTERVAL {
                failures = 0;
            }
            failures += 1;
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(BACKOFF.delay(failures)) => {}
                // A run needs the server: sooner, but not more often than the shortest delay.
                () = async { sleep(BACKOFF.min).await; self.wanted.notified().await } => {}
            }
        }
    }

    /// Connects and keeps the list of tools up to date; returns why the connection ended.
    async fn serve(
        &self,
        http: &reqwest::Client,
        workspace: &std::path::Path,
        connection: &mut Option<Connection>,
    ) -> String {
        let connected = Connection::open(&self.config.transport, http, workspace, connection).await;
        let (peer, changed) = match connected {
            Ok(connected) => connected,
            Err(why) => return why,
        };
        loop {
            let tools = match timeout(LIST_TIMEOUT, peer.list_all_tools()).await {
                Ok(Ok(tools)) => tools,
                Ok(Err(error)) => {
                    return format!("tools could not be listed: {}", error_chain(&error));
                }
                Err(_) => return "tools could not be listed: timeout".to_owned(),
            };
            self.set_tools(&peer, tools);
            let ended = async {
                match connection.as_mut() {
                    Some(connection) => connection.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                why = ended => return why,
                () = changed.notified() => {}
                () = self.wanted.notified() => {}
                () = sleep(LIST_INTERVAL) => {}
            }
        }
    }

    /// Records a new list of tools.
    fn set_tools(&self, peer: &Peer<RoleClient>, tools: Vec<rmcp::model::Tool>) {
        let tools: Vec<_> = tools
            .into_iter()
            .take(MAX_TOOLS)
            .map(|tool| {
                Arc::new(McpTool {
                    name: tool.name.into_owned(),
                    description: tool.description.map(Into::into).unwrap_or_default(),
                    schema: Value::Object((*tool.input_schema).clone()),
                })
            })
            .collect();
        let info = peer.peer_info();
        let about = info.as_ref().and_then(|info| info.server_info.as_ref());
        let about = about.map(|server| format!("{} {}", server.name, server.version));
        self.state.send_modify(|state| {
            let same = state.tools.as_ref().is_some_and(|known| known[..] == tools[..]);
            if state.peer.is_none() || state.error.is_some() || !same {
                tracing::info!(server = self.name, tools = tools.len(), "MCP server connected");
            }
            // An unchanged list stays the same object, so that nothing is rebuilt from it.
            if !same {
                state.tools = Some(tools.into());
            }
            state.peer = Some(peer.clone());
            state.error = None;
            state.about = about;
        });
    }

    /// Records a failure for `/health`. Since that is public, the program's own last line of output is
    /// only logged.
    fn set_failed(&self, why: &str, last_line: Option<&str>) {
        let why = self.config.transport.hide_secrets(why);
        self.state.send_modify(|state| {
            if state.error.as_ref() != Some(&why) {
                let last_line = last_line.map(|line| self.config.transport.hide_secrets(line));
                tracing::warn!(
                    server = self.name,
                    last_line,
                    "MCP server unavailable; reconnecting: {why}"
                );
            }
            state.error = Some(why);
        });
    }

    /// Calls a tool. The idempotency key lets a server that supports it recognise a retry.
    pub(super) async fn call(
        &self,
        tool: &McpTool,
        arguments: &Value,
        key: &str,
        traceparent: Option<&str>,
    ) -> ToolReply {
        let Some(peer) = self.connected().await else {
            let why = self.state.borrow().error.clone().unwrap_or_default();
            return ToolReply::Rejected(json!({
                "error": format!("the MCP server {} is unavailable: {why}", self.name)
            }));
        };
        let mut params = CallToolRequestParams::new(tool.name.clone());
        params.arguments = arguments.as_object().cloned();
        let mut meta = RequestMetaObject::default();
        meta.0.insert("idempotencyKey".to_owned(), key.into());
        if let Some(traceparent) = traceparent {
            meta.0.insert("traceparent".to_owned(), traceparent.into());
        }
        params.meta = Some(meta);
        match peer.call_tool_once(params).await {
            Ok(CallToolResponse::Complete(result)) => answer::of_result(result),
            Ok(_) => ToolReply::Rejected(json!({
                "error": "the tool requires something that this client does not support, such as a person's input"
            })),
            Err(ServiceError::McpError(error)) => ToolReply::Rejected(json!({
                "error": error.message, "code": error.code.0
            })),
            Err(error) => {
                // Check at once whether the server is still connected.
                self.wanted.notify_one();
                let why = self.config.transport.hide_secrets(&error_chain(&error));
                ToolReply::Unclear(json!({
                    "error": format!("the MCP server {}: {why}", self.name)
                }))
            }
        }
    }

    /// The connection, once the server is connected.
    async fn connected(&self) -> Option<Peer<RoleClient>> {
        let known = self.state.borrow().peer.clone();
        if let Some(peer) = known.filter(|peer| !peer.is_transport_closed()) {
            return Some(peer);
        }
        self.wanted.notify_one();
        let mut state = self.state.subscribe();
        let there = state
            .wait_for(|state| state.peer.as_ref().is_some_and(|peer| !peer.is_transport_closed()));
        let state = timeout(CALL_WAIT, there).await.ok()?.ok()?;
        state.peer.clone()
    }
}

/// An error with its causes, in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace(['\n', '\r'], " ").chars().take(500).collect()
}
