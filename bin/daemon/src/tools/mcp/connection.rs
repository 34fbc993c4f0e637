//! One connection to an MCP server: a program (stdio) or a URL (streamable HTTP).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rmcp::handler::client::ClientHandler;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::service::{
    ClientLifecycleMode, NotificationContext, Peer, RoleClient, RunningService,
    serve_client_with_lifecycle,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::timeout;
use wombat_core::mcp_config::Transport;

use super::http::BoundedHttp;
use super::message::MAX_MESSAGE_BYTES;
use super::stdio::relay;

/// The timeout of connecting; generous, since a program may have to be installed first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a program may take to exit on its own, and again after SIGTERM.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of a program's output waits to be read.
const PIPE_BYTES: usize = 64 * 1024;

/// The variables that programs inherit from the daemon's environment: what every program needs, no
/// secrets.
const INHERITED: [&str; 10] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// How many bytes of a program's last line of stderr are kept.
const MAX_LAST_LINE: u64 = 500;

/// Receives the server's notifications that its list of tools has changed.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    info: ClientConfig,
    changed: Arc<Notify>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        self.info.clone()
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }
}

/// A connection, and the program behind it if there is one.
#[derive(Debug, Default)]
pub(super) struct Connection {
    service: Option<RunningService<RoleClient, Listener>>,
    program: Option<Program>,
}

type Opened = (Peer<RoleClient>, Arc<Notify>);

impl Connection {
    /// Connects. The connection is put into `place` as soon as there is something to close, so that a
    /// caller that gives up in between can close it.
    pub(super) async fn open(
        transport: &Transport,
        http: &reqwest::Client,
        workspace: &Path,
        place: &mut Option<Self>,
    ) -> Result<Opened, String> {
        let changed = Arc::new(Notify::new());
        let implementation = Implementation::new("wombat", env!("CARGO_PKG_VERSION"));
        let info = ClientConfig::new(ClientCapabilities::default(), implementation);
        let listener = Listener { info, changed: changed.clone() };
        let connection = place.insert(Self::default());
        // Servers of the newest revision have no handshake; older ones require it.
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        };
        let served = match transport {
            Transport::Stdio { command, args, env, cwd } => {
                let cwd = cwd.as_ref().map_or(workspace.to_owned(), |cwd| workspace.join(cwd));
                let (program, transport) = Program::start(command, args, env, &cwd)?;
                connection.program = Some(program);
                // A program gets the handshake that all revisions know: an unknown message may end it.
                let lifecycle = ClientLifecycleMode::Initialize;
                timeout(
                    CONNECT_TIMEOUT,
                    serve_client_with_lifecycle(listener, transport, lifecycle),
                )
                .await
            }
            Transport::Http { url, headers } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(header_map(headers)?);
                // A new session is opened when the server has forgotten the old one.
                config.reinit_on_expired_session = true;
                let transport = StreamableHttpClientTransport::with_client(
                    BoundedHttp::new(http.clone()),
                    config,
                );
                timeout(
                    CONNECT_TIMEOUT,
                    serve_client_with_lifecycle(listener, transport, lifecycle),
                )
                .await
            }
        };
        let service = match served {
            Ok(Ok(service)) => service,
            Ok(Err(error)) => return Err(format!("cannot be connected: {}", error_chain(&error))),
            Err(_) => return Err("cannot be connected: timeout".to_owned()),
        };
        let peer = service.peer().clone();
        connection.service = Some(service);
        Ok((peer, changed))
    }

    /// Waits until the connection ends, and returns why. Cancel-safe.
    pub(super) async fn ended(&mut self) -> String {
        match &mut self.program {
            Some(program) => match program.child.wait().await {
                Ok(status) => format!("the program has exited ({status})"),
                Err(error) => format!("waiting for the program failed: {error}"),
            },
            // A remote server's end is only noticed by a call.
            None => std::future::pending().await,
        }
    }

    /// Closes the connection. Returns the program's last line of stderr, if there is one.
    pub(super) async fn close(mut self) -> Option<String> {
        if let Some(mut service) = self.service.take() {
            // Closes the program's stdin, which asks it to exit.
            let _how = service.close_with_timeout(EXIT_TIMEOUT).await;
        }
        self.program.take()?.end().await
    }
}

/// A running program, with its child processes.
#[derive(Debug)]
struct Program {
    child: Child,
    group: Option<Pid>,
    last_line: Arc<Mutex<String>>,
}

type Pipes = AsyncRwTransport<RoleClient, tokio::io::DuplexStream, tokio::process::ChildStdin>;

impl Program {
    fn start(
        command: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
        cwd: &Path,
    ) -> Result<(Self, Pipes), String> {
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut child = Command::new(command)
            .args(args)
            .env_clear()
            .envs(inherited)
            .envs(env)
            .current_dir(cwd)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{command:?} could not be started: {error}"))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the program has no stdin or stdout".to_owned());
        };
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let last_line = Arc::new(Mutex::new(String::new()));
        tokio::spawn(read_stderr(stderr, last_line.clone()));
        let (relayed, read) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(relay(stdout, relayed));
        let pipes = AsyncRwTransport::new(read, stdin).with_max_line_length(MAX_MESSAGE_BYTES);
        Ok((Self { child, group, last_line }, pipes))
    }

    /// Waits for the program to exit, then sends SIGTERM; dropping it sends SIGKILL.
    async fn end(mut self) -> Option<String> {
        if timeout(EXIT_TIMEOUT, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ended = timeout(EXIT_TIMEOUT, self.child.wait()).await;
        }
        let line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (!line.is_empty()).then_some(line)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // That no process is left is fine.
            let _gone = kill_process_group(group, signal);
        }
    }
}

/// Kills the whole process group.
impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Logs the program's stderr, and keeps its last line.
async fn read_stderr(stderr: impl AsyncRead + Unpin, last_line: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(MAX_LAST_LINE).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if !line.is_empty() {
            tracing::debug!(target: "wombat_daemon::mcp", "{line}");
            line.clone_into(&mut last_line.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn header_map(
    headers: &BTreeMap<String, String>,
) -> Result<HashMap<HeaderName, HeaderValue>, String> {
    let pairs = headers.iter().map(|(name, value)| {
        let read = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        let (name, mut value) = read.ok_or_else(|| format!("the header {name:?} is not valid"))?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    pairs.collect()
}

/// An error with its causes, in one line.
pub(super) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    let cause = shown::cause(error);
    if cause.is_tls() {
        text = format!("no secure connection to its url: {cause}");
    } else if !text.contains(&cause.to_string()) {
        text = format!("{text}: {cause}");
    }
    text.replace(['\n', '\r'], " ").chars().take(500).collect()
}
