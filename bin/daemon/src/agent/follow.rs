//! Follows a detached run from any instance: everything that it has told, in order, then what it tells,
//! to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_api::StreamEvent;
use mc_client::client::AgentClient;
use mc_client::deltas::{Deltas, RUN_DELTA, RunDelta};
use mc_client::idempotency::RunKey;
use mc_client::runs::Run;
use mc_client::types::Capabilities;
use serde::Deserialize as _;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::detach::pending;
use super::journal::RecordedRequest;
use crate::backend::{Listener, Told as Heard};
use crate::run::error::RunError;
use crate::run::events::RunEvent;
use crate::run::feed::{Feed, Progress};
use crate::run::script::{Line, Script};
use crate::run::standing::Standing;
use crate::run::told::{Told, follows};
use crate::run::written::run_id;
use crate::state::App;

/// After how long a reader that reads nothing is left.
const UNREAD: Duration = Duration::from_secs(60);
/// How often the backend is asked where the run stands, while its event stream tells of changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// The same where there is no event stream.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The wait after the backend could not be asked.
const OUTAGE_WAIT: Duration = Duration::from_secs(1);
/// How many events are read at once.
const PAGE: u32 = 1_000;

/// What a reader gets.
#[derive(Debug)]
pub(crate) enum Item {
    /// An event.
    Line(Line),
    /// The run is over, or waits for a person.
    Over(Box<Run>),
    /// Nobody works on the run, and nobody will.
    Stalled,
}

/// Follows one run for one reader.
pub(crate) struct Follower {
    app: App,
    client: AgentClient,
    key: RunKey,
    /// Whose run it is; known after the first look.
    session: String,
    capabilities: Arc<Capabilities>,
    out: mpsc::Sender<Item>,
    /// All events that are known.
    kept: BTreeMap<i64, RunEvent>,
    /// Whether some of them were heard here, perhaps before the backend had them.
    heard_here: bool,
    /// The event that the reader has seen last.
    seen: Option<i64>,
    /// Whether that event is not known now.
    is_lost: bool,
    /// When the run last gave a sign of life, and by what.
    sign: (String, Instant),
}

/// Why a look at the run ended.
enum Look {
    /// The reader has everything so far.
    Again,
    /// The reader got the end, or is gone.
    Ended,
}

impl Follower {
    /// A follower that begins after an event, or at the beginning.
    pub(crate) fn new(
        app: App,
        client: AgentClient,
        key: RunKey,
        capabilities: Arc<Capabilities>,
        seen: Option<i64>,
        out: mpsc::Sender<Item>,
    ) -> Self {
        let sign = (String::new(), Instant::now());
        Self {
            app,
            client,
            key,
            session: String::new(),
            capabilities,
            out,
            kept: BTreeMap::new(),
            heard_here: false,
            seen,
            is_lost: false,
            sign,
        }
    }

    /// Follows until the end of the run, until the reader is gone or reads nothing, or until this
    /// instance stops.
    pub(crate) async fn run(mut self) {
        let mut needs_start = self.seen.is_none();
        let mut events = None;
        loop {
            // First whoever tells, then what was told before.
            let feed = self.app.feeds.of(&self.key);
            let watched = feed.as_ref().map(|feed| feed.watch());
            match self.look(feed.as_deref(), &mut needs_start).await {
                Ok(Look::Again) => {}
                Ok(Look::Ended) => return,
                Err(error) => {
                    tracing::debug!(cause = error.cause, "the run could not be looked at");
                    if self.rest(OUTAGE_WAIT).await.is_none() {
                        return;
                    }
                    continue;
                }
            }
            let went_on = match (feed, watched) {
                _ if self.is_lost => self.rest(OUTAGE_WAIT).await,
                (Some(feed), Some(watched)) => self.listen_here(&feed, watched).await,
                _ => self.listen_elsewhere(&mut events).await,
            };
            if went_on.is_none() {
                return;
            }
        }
    }

    /// Waits; `None` when the reader is gone, or this instance stops.
    async fn rest(&self, time: Duration) -> Option<()> {
        tokio::select! {
            () = sleep(time) => Some(()),
            () = self.out.closed() => None,
            () = self.app.runs.draining() => None,
        }
    }

    /// Tells one thing; `None` when the reader is gone, or has read nothing for too long.
    async fn tell(&self, item: Item) -> Option<()> {
        self.out.send_timeout(item, UNREAD).await.ok()
    }

    async fn tell_lines(&mut self, lines: Vec<Line>) -> Option<()> {
        for line in lines {
            if let Some(id) = line.id {
                self.seen = Some(id);
            }
            self.tell(Item::Line(line)).await?;
        }
        Some(())
    }

    /// Looks at journal and kept events, and tells what is new. Also where the run stands.
    async fn look(
        &mut self,
        feed: Option<&Feed>,
        needs_start: &mut bool,
    ) -> Result<Look, RunError> {
        let backend = |error| RunError::backend(&error);
        let run = self.client.run(self.key.as_str()).await.map_err(backend)?;
        let Some(run) = run else { return Ok(Look::Ended) };
        self.session = run.session_key.clone().unwrap_or_default();
        if feed.is_none() && std::mem::take(&mut self.heard_here) {
            // What the backend never got is no part of the run.
            self.kept.clear();
        }
        // After the steps, whose events are all kept by then.
        self.read_kept().await;
        if let Some(feed) = feed {
            self.heard_here = true;
            self.kept.extend(feed.after(0).into_iter().map(|told| (told.id, told.event)));
        }
        if *needs_start {
            if let Some(start) = start_of(&run, &self.key)
                && self.tell(Item::Line(Line { id: Some(0), event: start })).await.is_none()
            {
                return Ok(Look::Ended);
            }
            *needs_start = false;
            self.seen = Some(0);
        }
        let mut standing = Standing::of(&run);
        let is_completed = standing == Standing::Completed;
        if standing.is_waiting() && pending(&self.client, &self.key).await?.is_empty() {
            standing = Standing::at_work(&run);
        }
        let script = Script::new(&run.steps, &self.kept, is_completed);
        // Where the reader's last event is not known now, it may be later: nothing is told twice.
        let lines = script.after(self.seen, standing.is_over());
        self.is_lost = lines.is_none();
        if let Some(lines) = lines {
            if self.tell_lines(lines).await.is_none() {
                return Ok(Look::Ended);
            }
            self.seen = Some(script.last_id());
        }
        if standing.is_over() {
            let _to_nobody = self.tell(Item::Over(Box::new(run))).await;
            return Ok(Look::Ended);
        }
        if feed.is_none() && self.is_stalled(&run) {
            let _to_nobody = self.tell(Item::Stalled).await;
            return Ok(Look::Ended);
        }
        Ok(Look::Again)
    }

    /// Whether nobody works on the run, as far as can be told. Where dead runs are handed on, somebody
    /// will.
    fn is_stalled(&mut self, run: &Run) -> bool {
        let sign = format!("{:?} {} {:?}", run.updated_at, run.status, self.seen);
        if sign != self.sign.0 {
            self.sign = (sign, Instant::now());
        }
        !self.capabilities.has("orphans")
            && self.sign.1.elapsed() >= self.app.settings.background.stream_idle
    }

    /// Reads what the backend keeps and this reader does not know.
    async fn read_kept(&mut self) {
        if !self.capabilities.has("run_stream") {
            return;
        }
        loop {
            let after = self.kept.last_key_value().map_or(0, |(id, _)| *id);
            let page = match self.client.deltas(self.key.as_str(), after, Some(PAGE)).await {
                Ok(page) => page,
                Err(error) => return tracing::debug!(%error, "events of a run cannot be read"),
            };
            let Deltas { events, last_seq, .. } = page;
            let Some(last) = events.iter().filter_map(|event| event.id).max() else { return };
            self.keep(&events);
            if last <= after || last >= last_seq {
                return;
            }
        }
    }

    fn keep(&mut self, events: &[mc_client::deltas::RunEvent]) {
        let told = events.iter().filter_map(Told::of_kept);
        self.kept.extend(told.map(|told| (told.id, told.event)));
    }

    /// Tells events that follow on what the reader has; `false` where they do not.
    async fn tell_next(&mut self, events: Vec<Told>) -> Option<bool> {
        for told in events {
            let seen = self.seen.unwrap_or(0);
            if told.id <= seen {
                continue;
            }
            if !follows(told.id, seen) {
                return Some(false);
            }
            self.kept.insert(told.id, told.event.clone());
            self.tell_lines(vec![Line { id: Some(told.id), event: told.event }]).await?;
        }
        Some(true)
    }

    /// Listens to a run of this instance until more is to be looked at.
    async fn listen_here(
        &mut self,
        feed: &Feed,
        mut watched: watch::Receiver<Progress>,
    ) -> Option<()> {
        loop {
            let progress = *watched.borrow_and_update();
            if !self.tell_next(feed.after(self.seen.unwrap_or(0))).await? || progress.is_over {
                return Some(());
            }
            tokio::select! {
                changed = watched.changed() => if changed.is_err() { return Some(()) },
                () = self.out.closed() => return None,
            }
        }
    }

    /// Listens to the backend until more is to be looked at.
    async fn listen_elsewhere(&mut self, events: &mut Option<Listener>) -> Option<()> {
        if !self.capabilities.has("run_stream") || !self.capabilities.has("events_sse") {
            return self.rest(POLL_INTERVAL).await;
        }
        let key = self.key.as_str().to_owned();
        let events = events.get_or_insert_with(|| {
            let run = (self.session.clone(), key.clone());
            self.app.backend.hearings.listen(&self.client, run)
        });
        let until = Instant::now() + LOOK_INTERVAL;
        loop {
            let news = tokio::select! {
                news = events.next() => news,
                () = sleep_until(until) => return Some(()),
                () = self.out.closed() => return None,
                () = self.app.runs.draining() => return None,
            };
            match news {
                Heard::Event(event) if event.kind == RUN_DELTA => {
                    let Ok(mut delta) = RunDelta::deserialize(&event.data) else { return Some(()) };
                    if self.client.open_events(&key, &mut delta.events).is_err() {
                        return self.rest(POLL_INTERVAL).await;
                    }
                    let told = delta.events.iter().filter_map(Told::of_kept).collect();
                    if delta.run_key == key && !self.tell_next(told).await? {
                        return Some(());
                    }
                }
                Heard::Event(event) => {
                    // A step was told before it was written.
                    let is_own = event.data.get("run_key").and_then(Value::as_str) == Some(&*key);
                    if is_own && event.kind != "run.step" {
                        return Some(());
                    }
                }
                Heard::Gap => return Some(()),
                Heard::Broken => return self.rest(POLL_INTERVAL).await,
            }
        }
    }
}

/// The first event of a run, from its step 0.
fn start_of(run: &Run, key: &RunKey) -> Option<RunEvent> {
    let step = run.steps.iter().find(|step| step.index == 0)?;
    let recorded = RecordedRequest::deserialize(&step.payload).ok()?;
    let detached = recorded.detached;
    let (run_id, trace_id) = match detached {
        Some(detached) => (detached.run_id, detached.trace_id),
        None => (run_id(run).to_owned(), String::new()),
    };
    let run_key = key.as_str().to_owned();
    Some(RunEvent::Start { run_id, task_id: recorded.task_id, trace_id, run_key })
}

/// An event of a reader as it is written.
pub(crate) fn wire(line: Line) -> (Option<i64>, StreamEvent<'static>) {
    (line.id, line.event.into())
}
