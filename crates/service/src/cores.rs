//! A thread for each processor, with a runtime of its own: what serves a connection stays where it began, so that no
//! other processor is woken for it and its memory is in one cache.

use std::cell::OnceCell;
use std::io;
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// At most so many threads of each core do what blocks: looking up names, say.
const BLOCKING_THREADS: usize = 64;

/// The threads. They end when this is dropped, and with them what still runs there.
#[derive(Debug)]
pub struct Cores {
    threads: Vec<JoinHandle<()>>,
    runtimes: Runtimes,
    stop: CancellationToken,
}

/// The runtimes of all cores, once all have begun.
type Runtimes = Arc<OnceLock<Vec<Handle>>>;

thread_local! {
    /// Set on the cores' threads.
    static ALL: OnceCell<Runtimes> = const { OnceCell::new() };
}

/// The runtime for what outlives the request that begins it: of the core that has the fewest tasks, where this is one
/// of them, or else this one. Otherwise all that one connection begins would stay on one processor.
///
/// # Panics
/// Outside of a runtime.
pub fn least_busy() -> Handle {
    let fewest = ALL.with(|all| fewest_tasks(all.get()?.get()?).cloned());
    fewest.unwrap_or_else(Handle::current)
}

fn fewest_tasks(runtimes: &[Handle]) -> Option<&Handle> {
    runtimes.iter().min_by_key(|runtime| runtime.metrics().num_alive_tasks())
}

impl Cores {
    /// Starts this many threads, one at least. Their calls to other servers over plain HTTP have connections of
    /// their own, all others use those of this runtime ([`outbound::own_connections`]).
    ///
    /// # Errors
    /// When the system gives no more threads or file descriptors.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(threads: usize) -> io::Result<Self> {
        let (stop, shared) = (CancellationToken::new(), Handle::current());
        let mut cores = Self { threads: Vec::new(), runtimes: Runtimes::default(), stop };
        let mut runtimes = Vec::new();
        for n in 0..threads.max(1) {
            let (tell, told) = mpsc::channel();
            let (stop, shared, all) = (cores.stop.clone(), shared.clone(), cores.runtimes.clone());
            let work = move || {
                let mut runtime = Builder::new_current_thread();
                runtime.max_blocking_threads(BLOCKING_THREADS).enable_all();
                let runtime = match runtime.build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(tell.send(Err(error))),
                };
                outbound::own_connections(shared);
                ALL.with(|own| own.set(all).ok());
                drop(tell.send(Ok(runtime.handle().clone())));
                runtime.block_on(stop.cancelled());
                // Threads that block are not waited for.
                runtime.shutdown_background();
            };
            cores.threads.push(std::thread::Builder::new().name(format!("core-{n}")).spawn(work)?);
            runtimes.push(told.recv().map_err(io::Error::other)??);
        }
        drop(cores.runtimes.set(runtimes));
        Ok(cores)
    }

    /// Serves a connection on the thread that has the fewest tasks: accepted elsewhere, it goes over to that thread's
    /// runtime whole.
    pub(crate) fn spawn<F>(
        &self,
        stream: TcpStream,
        tracker: &TaskTracker,
        serve: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let runtimes = self.runtimes.get().map_or(&[][..], Vec::as_slice);
        let Some(runtime) = fewest_tasks(runtimes) else { return };
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return not_taken_over(&error),
        };
        let task = async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => serve(stream).await,
                Err(error) => not_taken_over(&error),
            }
        };
        tracker.spawn_on(task, runtime);
    }
}

fn not_taken_over(error: &io::Error) {
    tracing::error!(%error, "a connection was accepted, but could not be served; closed");
}

impl Drop for Cores {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that served connections panicked");
            }
        }
    }
}
