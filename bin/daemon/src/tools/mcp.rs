//! MCP servers of `mcp.json`: keeps them connected, lists and calls their tools.
//!
//! Each server has a background task that connects, lists the tools, lists them again when the
//! server reports a change, and reconnects after a failure. A failing server costs only its own
//! tools. No server gets a token of the backend.

mod answer;
mod connection;
mod http;
mod listing;
mod message;
mod server;
mod stdio;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wombat_core::mcp_config::{McpConfig, ServerConfig, tool_prefix};

use self::server::ServerState;
pub(super) use self::server::{McpServer, McpTool, McpTools};
use super::source_state::{SourceState, SourceStatus};

/// How long a run waits for servers that are connecting for the first time.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The timeout of stopping the servers when the daemon stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

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
                // Never fails: the sender lives as long as the server.
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
                let wanted = match entry {
                    Ok(wanted) => wanted,
                    Err(disabled) => {
                        tracing::warn!(server = name, "mcp.json: MCP server disabled: {disabled}");
                        continue;
                    }
                };
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
            prefix: tool_prefix(name),
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

    /// The state of each server by its name, for `/health`.
    pub(super) fn states(
        &self,
        config: &McpConfig,
        problems: &[(String, String)],
    ) -> BTreeMap<String, SourceState> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = BTreeMap::new();
        for (name, entry) in &config.servers {
            let mut state = match (entry, running.servers.get(name)) {
                (Err(disabled), _) => {
                    SourceState::new(SourceStatus::Error, Some(format!("mcp.json: {disabled}")))
                }
                (Ok(_), None) => SourceState::new(SourceStatus::Unchecked, None),
                (Ok(_), Some(server)) => server.state(),
            };
            let prefix = tool_prefix(name);
            if prefix != *name {
                state.tools_begin_with = Some(format!("{prefix}__"));
            }
            let of_this =
                problems.iter().filter(|(of, _)| of == name).map(|(_, what)| what.clone());
            let all: Vec<_> = state.problems.into_iter().flatten().chain(of_this).collect();
            state.problems = Some(all).filter(|all| !all.is_empty());
            states.insert(name.clone(), state);
        }
        states
    }

    /// Stops all servers and waits for their programs to exit.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("some MCP servers did not stop in time");
        }
    }
}
