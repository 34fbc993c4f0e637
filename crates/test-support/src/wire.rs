//! A TCP address that leads to a PostgreSQL server, and later to another one: as that of a proxy, a
//! cloud's load balancer or a name that is given to another machine. It can also swallow all that is
//! said.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::postgres::{Postgres, SOCKET};

/// What happens to connections; they are numbered in the order in which they were accepted.
#[derive(Debug)]
struct State {
    /// Where new connections lead to.
    socket: PathBuf,
    /// How many were accepted.
    accepted: u64,
    /// Those before it are ended.
    ended: u64,
    /// Those before it stay open, and nothing is forwarded on them any more.
    hung: u64,
    /// Whether nothing is forwarded at all.
    is_hole: bool,
    /// Who says it hangs from then on.
    trap: Option<Vec<u8>>,
    /// How many did.
    trapped: u64,
}

/// The address; it ends when this is dropped.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    state: Arc<watch::Sender<State>>,
    accepts: JoinHandle<()>,
}

impl Wire {
    /// An address that leads to a server.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = socket(server);
        let state = State {
            socket,
            accepted: 0,
            ended: 0,
            hung: 0,
            is_hole: false,
            trap: None,
            trapped: 0,
        };
        let state = Arc::new(watch::Sender::new(state));
        let accepts = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(serve(client, Arc::clone(&state)));
                }
            }
        });
        Self { port, state, accepts }
    }

    /// The URL of the database `wombat` by way of it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/wombat", self.port)
    }

    /// New connections lead to another server; open ones stay as they are.
    pub fn leads_to(&self, server: &Postgres) {
        self.state.send_modify(|state| state.socket = socket(server));
    }

    /// Ends all open connections.
    pub fn end_all(&self) {
        self.state.send_modify(|state| state.ended = state.accepted);
    }

    /// Open connections stay open, and nothing comes through them any more.
    pub fn hang_all(&self) {
        self.state.send_modify(|state| state.hung = state.accepted);
    }

    /// Swallows what is said on all connections, also new ones, or no more.
    pub fn swallow(&self, is_hole: bool) {
        self.state.send_modify(|state| state.is_hole = is_hole);
    }

    /// A connection hangs as soon as these bytes are sent on it.
    pub fn hang_who_says(&self, bytes: Option<&str>) {
        self.state.send_modify(|state| state.trap = bytes.map(|bytes| bytes.into()));
    }

    /// How many connections hang for what was said on them.
    pub fn hanging(&self) -> u64 {
        self.state.borrow().trapped
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

fn socket(server: &Postgres) -> PathBuf {
    server.folder().join(SOCKET)
}

async fn serve(mut client: TcpStream, state: Arc<watch::Sender<State>>) {
    let mut number = 0;
    state.send_modify(|state| {
        number = state.accepted;
        state.accepted += 1;
    });
    let line = Line { number, state: state.subscribe(), all: &state };
    line.flows().await;
    let socket = line.state.borrow().socket.clone();
    let Ok(mut server) = UnixStream::connect(&socket).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        () = line.pump(&mut from_client, &mut to_server) => {}
        () = line.pump(&mut from_server, &mut to_client) => {}
        () = line.ends() => {}
    }
}

/// A connection.
struct Line<'a> {
    number: u64,
    state: watch::Receiver<State>,
    all: &'a watch::Sender<State>,
}

impl Line<'_> {
    /// Waits until something is forwarded on it.
    async fn flows(&self) {
        let flows = |state: &State| !state.is_hole && self.number >= state.hung;
        let mut state = self.state.clone();
        let _gone = state.wait_for(flows).await;
    }

    async fn ends(&self) {
        let mut state = self.state.clone();
        let _gone = state.wait_for(|state| self.number < state.ended).await;
    }

    /// Forwards until one side ends; that, too, is not seen through a hole.
    async fn pump(&self, from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = from.read(&mut bytes).await.unwrap_or(0);
            self.flows().await;
            if self.is_trapped(&bytes[..read]) {
                self.all.send_modify(|state| state.trapped += 1);
                std::future::pending::<()>().await;
            }
            if read == 0 || to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }

    fn is_trapped(&self, said: &[u8]) -> bool {
        let state = self.state.borrow();
        let trap = state.trap.as_deref();
        trap.is_some_and(|trap| said.windows(trap.len()).any(|bytes| bytes == trap))
    }
}
