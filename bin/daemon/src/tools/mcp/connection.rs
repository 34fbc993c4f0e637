//! One connection to an MCP server: a program that is started, or an address that is called.

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

use super::words;

/// How long it may take until a server is ready: a program may have to be installed first.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// How long a program may take to end by itself, and once more after being asked to.
const END_LIMIT: Duration = Duration::from_secs(1);

/// The longest message that is read.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Variables that programs find in their environment, where the daemon has them: what every program
/// needs, and no secret.
const INHERITED: [&str; 10] =
    ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// Characters of a program's last line that are kept.
const MAX_LAST_WORDS: u64 = 500;

/// Hears from the server that its list has changed.
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
    /// Opens one. What has to be closed is put into `place` as soon as it is there, so that a
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
        // Servers of the newest protocol know no handshake; others know nothing else.
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        };
        let served = match transport {
            Transport::Stdio { command, args, env, cwd } => {
                let cwd = cwd.as_ref().map_or(workspace.to_owned(), |cwd| workspace.join(cwd));
                let (program, transport) = Program::start(command, args, env, &cwd)?;
                connection.program = Some(program);
                // A program speaks the handshake that all know: it may not survive another word.
                let lifecycle = ClientLifecycleMode::Initialize;
                timeout(OPEN_LIMIT, serve_client_with_lifecycle(listener, transport, lifecycle))
                    .await
            }
            Transport::Http { url, headers } => {
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                    .custom_headers(header_map(headers)?)
                    .max_json_response_size(MAX_MESSAGE_BYTES)
                    .max_sse_event_size(MAX_MESSAGE_BYTES);
                // Whether a session is still there, the supervisor finds out.
                config.reinit_on_expired_session = true;
                let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
                timeout(OPEN_LIMIT, serve_client_with_lifecycle(listener, transport, lifecycle))
                    .await
            }
        };
        let service = match served {
            Ok(Ok(service)) => service,
            Ok(Err(error)) => return Err(format!("it cannot be connected: {}", words(&error))),
            Err(_) => return Err("it cannot be connected: no answer in time".to_owned()),
        };
        let peer = service.peer().clone();
        connection.service = Some(service);
        Ok((peer, changed))
    }

    /// Waits until the connection ends by itself, and says how. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> String {
        match &mut self.program {
            Some(program) => match program.child.wait().await {
                Ok(status) => format!("the program has ended ({status})"),
                Err(error) => format!("the program cannot be watched: {error}"),
            },
            // Of an address one only hears when it is called.
            None => std::future::pending().await,
        }
    }

    /// Ends it. Comes back with the last line that the program wrote, if there is one.
    pub(super) async fn close(mut self) -> Option<String> {
        if let Some(mut service) = self.service.take() {
            // It closes the program's input, which asks a program to end.
            let _how = service.close_with_timeout(END_LIMIT).await;
        }
        self.program.take()?.end().await
    }
}

/// A program that was started, with all that it starts in turn.
#[derive(Debug)]
struct Program {
    child: Child,
    group: Option<Pid>,
    last_words: Arc<Mutex<String>>,
}

type Pipes = AsyncRwTransport<RoleClient, tokio::process::ChildStdout, tokio::process::ChildStdin>;

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
            .map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("the program has no input or output".to_owned());
        };
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let last_words = Arc::new(Mutex::new(String::new()));
        tokio::spawn(listen(stderr, last_words.clone()));
        let pipes = AsyncRwTransport::new(stdout, stdin).with_max_line_length(MAX_MESSAGE_BYTES);
        Ok((Self { child, group, last_words }, pipes))
    }

    /// Waits a little, asks, kills.
    async fn end(mut self) -> Option<String> {
        if timeout(END_LIMIT, self.child.wait()).await.is_err() {
            self.signal(Signal::TERM);
            let _ended = timeout(END_LIMIT, self.child.wait()).await;
        }
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (!words.is_empty()).then_some(words)
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // Nobody left to hear it is what was wanted.
            let _gone = kill_process_group(group, signal);
        }
    }
}

/// What the program has started goes with it.
impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Keeps the newest line of what the program says beside its messages.
async fn listen(stderr: impl AsyncRead + Unpin, last_words: Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        let read = (&mut lines).take(MAX_LAST_WORDS).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim();
        if !line.is_empty() {
            tracing::debug!(target: "wombat_daemon::mcp", "{line}");
            line.clone_into(&mut last_words.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn header_map(
    headers: &BTreeMap<String, String>,
) -> Result<HashMap<HeaderName, HeaderValue>, String> {
    let pairs = headers.iter().map(|(name, value)| {
        let read = name.parse::<HeaderName>().ok().zip(value.parse::<HeaderValue>().ok());
        let (name, mut value) =
            read.ok_or_else(|| format!("the header {name:?} cannot be sent"))?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    pairs.collect()
}
