//! A thread for each processor, with a runtime of its own: what serves a connection stays where it began, so that no
//! other processor is woken for it and its memory is in one cache.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The threads. They end when this is dropped, and with them what still runs there.
#[derive(Debug)]
pub struct Cores {
    threads: Vec<Core>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Core {
    runtime: Handle,
    /// Each connection that the thread serves holds a clone.
    connections: Arc<()>,
    thread: Option<JoinHandle<()>>,
}

impl Cores {
    /// Starts this many threads, one at least. Their calls to other servers have connections of their own
    /// ([`outbound::own_connections`]).
    ///
    /// # Errors
    /// When the system gives no more threads or file descriptors.
    pub fn start(threads: usize) -> io::Result<Self> {
        let mut cores = Self { threads: Vec::new(), stop: CancellationToken::new() };
        for n in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stop) = (runtime.handle().clone(), cores.stop.clone());
            let thread =
                std::thread::Builder::new().name(format!("core-{n}")).spawn(move || {
                    outbound::own_connections();
                    runtime.block_on(stop.cancelled());
                    // Work of threads that may block, such as a look-up of a name, is not waited for.
                    runtime.shutdown_background();
                })?;
            let connections = Arc::default();
            cores.threads.push(Core { runtime: handle, connections, thread: Some(thread) });
        }
        Ok(cores)
    }

    /// Serves a connection on the thread that has the fewest: accepted elsewhere, it goes over to that thread's runtime
    /// whole.
    pub(crate) fn spawn<F>(
        &self,
        stream: TcpStream,
        tracker: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let fewest = self.threads.iter().min_by_key(|core| Arc::strong_count(&core.connections));
        let (Some(core), Ok(stream)) = (fewest, stream.into_std()) else { return };
        let counted = core.connections.clone();
        let task = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::error!(%error, "a connection could not be taken over"),
            }
            drop(counted);
        };
        tracker.spawn_on(task, &core.runtime);
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop.cancel();
        for core in &mut self.threads {
            if core.thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("a thread that served connections panicked");
            }
        }
    }
}
