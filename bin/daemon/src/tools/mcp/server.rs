//! One MCP server: supervised, its tools listed and called.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use retry::Backoff;
use rmcp::model::{CallToolRequestParams, CallToolResponse, RequestMetaObject};
use rmcp::service::{Peer, RoleClient, ServiceError};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wombat_core::mcp_config::{ServerConfig, Transport};

use super::answer;
use super::connection::{Connection, error_chain};
use super::listing::{self, Listing};
use super::message::NOT_READ;
use crate::tools::reply::ToolReply;
use crate::tools::source_state::{SourceState, SourceStatus};

/// How long a call waits for a server that is reconnecting.
const CALL_WAIT: Duration = Duration::from_secs(5);

/// How often tools are listed without a reported change: some servers never report one, and a remote
/// server that is gone is only noticed by a call.
const LIST_INTERVAL: Duration = Duration::from_secs(60);

/// The delays between attempts to connect.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// How long a list is good at least, whatever its server says.
const CHANGE_INTERVAL: Duration = Duration::from_millis(250);

/// The most bytes of changed lists on one connection: the protocol's client keeps what it has seen.
const MAX_CHANGED_BYTES: usize = 64 * 1024 * 1024;

/// A tool as its server describes it.
#[derive(Debug, PartialEq)]
pub(crate) struct McpTool {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) schema: Value,
    /// Whether making a call twice is the same as making it once, says the server.
    pub(crate) is_repeatable: bool,
}

/// The tools of one server.
pub(crate) type McpTools = Arc<[Arc<McpTool>]>;

/// A configured server, connected or not.
#[derive(Debug)]
pub(crate) struct McpServer {
    pub(super) name: String,
    /// What the names of its tools begin with, before `__`.
    pub(super) prefix: String,
    pub(super) config: ServerConfig,
    pub(super) state: watch::Sender<ServerState>,
    /// Notified when a call or a run needs the server now.
    pub(super) wanted: Notify,
    pub(super) stop: CancellationToken,
}

/// What is known of a server.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerState {
    /// The last list; kept while the server is disconnected, so that calls fail with a reason.
    pub(super) tools: Option<McpTools>,
    peer: Option<Peer<RoleClient>>,
    error: Option<String>,
    /// What is wrong with its tools.
    problems: Vec<String>,
    /// Name and version that the server reports.
    about: Option<String>,
}

impl ServerState {
    /// Whether the first connection has succeeded or failed.
    pub(super) fn is_settled(&self) -> bool {
        self.tools.is_some() || self.error.is_some()
    }
}

impl McpServer {
    /// Its name in `mcp.json`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name that models and rules have for one of its tools.
    pub(crate) fn name_of(&self, tool: &McpTool) -> String {
        format!("{}__{}", self.prefix, tool.name)
    }

    /// Where it is; to be compared and not shown, as it may hold a secret.
    pub(crate) fn place(&self) -> String {
        self.config.transport.place()
    }

    /// What a server says, without the keys that only it is sent: a server on the network may repeat its
    /// headers. What a program is given may be a path or a language, and belongs to what it says.
    fn clean(&self, text: &str) -> String {
        match &self.config.transport {
            transport @ Transport::Http { .. } => transport.hide_keys(text),
            Transport::Stdio { .. } => text.to_owned(),
        }
    }

    /// An error that a server tells, without all that only it is sent.
    fn clean_error(&self, text: &str) -> String {
        match &self.config.transport {
            transport @ Transport::Http { .. } => transport.hide_secrets(text),
            Transport::Stdio { .. } => text.to_owned(),
        }
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    /// The server's state, for `/health`.
    pub(super) fn state(&self) -> SourceState {
        let state = self.state.borrow();
        let status = match (&state.error, &state.tools) {
            (Some(_), _) => SourceStatus::Error,
            (None, Some(_)) => SourceStatus::Ok,
            (None, None) => SourceStatus::Connecting,
        };
        SourceState {
            tools: state.tools.as_ref().map(|tools| tools.len()),
            problems: Some(state.problems.clone()).filter(|problems| !problems.is_empty()),
            server: state.about.clone(),
            ..SourceState::new(status, state.error.clone())
        }
    }

    /// Keeps the server connected until it is stopped.
    pub(super) async fn supervise(&self, http: reqwest::Client, workspace: PathBuf) {
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
        workspace: &Path,
        connection: &mut Option<Connection>,
    ) -> String {
        let connected = Connection::open(&self.config.transport, http, workspace, connection).await;
        let (peer, changed) = match connected {
            Ok(connected) => connected,
            Err(why) => return why,
        };
        let mut changed_bytes = 0;
        loop {
            let clean = |text: &str| self.clean(text);
            let listing = match listing::list(&peer, clean).await {
                Ok(mut listing) => {
                    listing.tools.retain(|tool| self.config.tools.has(&tool.name));
                    listing
                }
                Err(why) => return why,
            };
            changed_bytes += self.set_tools(&peer, listing);
            if changed_bytes > MAX_CHANGED_BYTES {
                return "the list of tools changes all the time; it is connected anew".to_owned();
            }
            let ended = async {
                match connection.as_mut() {
                    Some(connection) => connection.ended().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                why = ended => return why,
                // However often the server says so.
                () = async { sleep(CHANGE_INTERVAL).await; changed.notified().await } => {}
                () = self.wanted.notified() => {}
                () = sleep(LIST_INTERVAL) => {}
            }
        }
    }

    /// Records a new list of tools; says how many bytes are new.
    fn set_tools(&self, peer: &Peer<RoleClient>, listing: Listing) -> usize {
        let Listing { tools, problems, bytes, .. } = listing;
        let info = peer.peer_info();
        let about = info.as_ref().and_then(|info| info.server_info.as_ref());
        let about = about.map(|server| {
            let about = format!("{} {}", server.name, server.version);
            shortened(&self.config.transport.hide_secrets(&about))
        });
        let mut new_bytes = 0;
        self.state.send_modify(|state| {
            let same = state.tools.as_ref().is_some_and(|known| known[..] == tools[..]);
            if state.peer.is_none() || state.error.is_some() || !same {
                tracing::info!(server = self.name, tools = tools.len(), "MCP server connected");
            }
            // An unchanged list stays the same object, so that nothing is rebuilt from it.
            if !same {
                new_bytes = bytes;
                state.tools = Some(tools.into());
            }
            if state.problems != problems {
                for problem in &problems {
                    tracing::warn!(server = self.name, "MCP server's tools: {problem}");
                }
                state.problems = problems;
            }
            state.peer = Some(peer.clone());
            state.error = None;
            state.about = about;
        });
        new_bytes
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
    pub(crate) async fn call(
        &self,
        tool: &McpTool,
        arguments: &Value,
        key: &str,
        traceparent: Option<&str>,
    ) -> ToolReply {
        let Some(peer) = self.connected().await else {
            let why = self.state.borrow().error.clone().unwrap_or_default();
            return ToolReply::NotSent(json!({
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
            Ok(CallToolResponse::Complete(result)) => {
                answer::of_result(result, |text| self.clean(text))
            }
            Ok(_) => ToolReply::Rejected(json!({
                "error": "the tool requires something that this client does not support, such as a person's input"
            })),
            // The call was made, and its result is not known.
            Err(ServiceError::McpError(error)) if error.code.0 == NOT_READ => {
                ToolReply::Unclear(json!({
                    "error": format!("the MCP server {}: {}", self.name, error.message)
                }))
            }
            Err(ServiceError::McpError(error)) => {
                let said = self.clean_error(&error.message);
                let body = json!({ "error": said, "code": error.code.0 });
                if is_refusal(error.code.0) {
                    ToolReply::Rejected(body)
                } else {
                    ToolReply::Unclear(body)
                }
            }
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

/// Whether an error says that the call was not made: what was sent is no request, no method, or has
/// wrong parameters (JSON-RPC 2.0, section 5.1). An internal or a server's own error leaves that open.
fn is_refusal(code: i32) -> bool {
    matches!(code, -32700 | -32602..=-32600)
}

/// The beginning of what a server says of itself.
fn shortened(text: &str) -> String {
    const MAX: usize = 200;
    text[..text.floor_char_boundary(MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_no_call_is_a_refusal() {
        for code in [-32700, -32600, -32601, -32602] {
            assert!(is_refusal(code), "{code}");
        }
        for code in [-32603, -32000, -32002, -32042, -32099, 0, 1, 500] {
            assert!(!is_refusal(code), "{code}");
        }
    }
}
