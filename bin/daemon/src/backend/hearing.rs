//! What the backend tells of runs that other instances execute: one stream for each run, whoever listens here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::events::{Event, Events, News};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// How many events wait for a listener that is busy; one that falls behind looks at the run instead.
const BUFFER: usize = 1_024;

/// The wait after the stream broke.
const AGAIN: Duration = Duration::from_millis(250);

/// A run: its user's and role's session, and its key.
pub(super) type Heard = (String, String);

/// The runs that somebody here listens to.
#[derive(Debug, Clone, Default)]
pub struct Hearings(Arc<Mutex<HashMap<Heard, Weak<Stream>>>>);

/// A run's stream, open while it has a listener.
#[derive(Debug)]
struct Stream {
    hearings: Hearings,
    run: Heard,
    news: broadcast::Sender<Told>,
    _reading: AbortOnDropHandle<()>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hearings.table(|table| {
            // A new listener may have opened another one.
            if table.get(&self.run).is_some_and(|stream| stream.strong_count() == 0) {
                table.remove(&self.run);
            }
        });
    }
}

/// What a listener is told.
#[derive(Debug, Clone)]
pub enum Told {
    /// Something happened.
    Event(Arc<Event>),
    /// Something may have been missed: look at the run.
    Gap,
    /// The stream is broken and will be open again.
    Broken,
}

/// One who listens to a run.
#[derive(Debug)]
pub struct Listener {
    _stream: Arc<Stream>,
    news: broadcast::Receiver<Told>,
    is_new: bool,
}

impl Listener {
    /// Waits for what comes next. The first is a gap: what was told before this one listened.
    pub async fn next(&mut self) -> Told {
        if std::mem::take(&mut self.is_new) {
            return Told::Gap;
        }
        match self.news.recv().await {
            Ok(told) => told,
            Err(RecvError::Lagged(_)) => Told::Gap,
            // The stream lives as long as this value.
            Err(RecvError::Closed) => Told::Broken,
        }
    }
}

impl Hearings {
    /// Listens to a run with a client of its user and role.
    pub fn listen(&self, client: &AgentClient, run: Heard) -> Listener {
        let stream = self.table(|table| {
            if let Some(stream) = table.get(&run).and_then(Weak::upgrade) {
                return stream;
            }
            let (news, _) = broadcast::channel(BUFFER);
            let reading = read(client.events_of_run(&run.1, None), news.clone());
            let reading = AbortOnDropHandle::new(tokio::spawn(reading));
            let (hearings, key) = (self.clone(), run.clone());
            let stream = Arc::new(Stream { hearings, run: key, news, _reading: reading });
            table.insert(run, Arc::downgrade(&stream));
            stream
        });
        let news = stream.news.subscribe();
        Listener { _stream: stream, news, is_new: true }
    }

    fn table<T>(&self, work: impl FnOnce(&mut HashMap<Heard, Weak<Stream>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads a stream for its listeners, as long as it has some.
async fn read(mut events: Events, listeners: broadcast::Sender<Told>) {
    loop {
        let (told, is_broken) = match events.next().await {
            Ok(News::Event(event)) => (Told::Event(Arc::new(event)), false),
            Ok(News::Connected) => (Told::Gap, false),
            Ok(News::Broken(_)) | Err(_) => (Told::Broken, true),
        };
        // There may be nobody at this moment.
        let _ = listeners.send(told);
        if is_broken {
            sleep(AGAIN).await;
        }
    }
}
