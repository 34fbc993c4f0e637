//! What a detached run tells, on its way to the backend: each event gets its id here, and what equals
//! what an earlier instance has told is not told again. No IO: [`Recording::next_batch`] is stored by
//! whoever owns the run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mc_client::deltas::IDS_PER_FENCE;
use tokio::sync::{Notify, watch};

use super::events::{RestartReason, RunEvent};
use super::told::{Texts, Told, byte_of, code_points, common};

/// Text of a chunk that no more is added to, bytes: a batch has to fit into a post.
const FULL_CHUNK: usize = 64 * 1024;

/// What is kept for a store that is away, bytes. Beyond it whole steps are all that readers elsewhere
/// get.
const MAX_BACKLOG: usize = 512 * 1024;

/// What earlier leases have told and the journal does not hold.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The texts of turns.
    pub texts: Texts,
    /// The ids of the events that made them.
    pub spans: BTreeMap<u32, Span>,
    /// Calls and results of the newest turn in the journal.
    pub tools: Vec<Told>,
    /// Whether there may be more than this, because the store could not be read.
    pub is_unsure: bool,
}

impl Known {
    /// What these events, which earlier leases stored, have told. `tools_after` is the last event of the
    /// newest turn in the journal.
    pub fn of(events: Vec<Told>, tools_after: i64) -> Self {
        let mut known = Self { texts: Texts::of(&events), ..Self::default() };
        for told in events {
            match told.event {
                RunEvent::Chunk { step: Some(step), .. } | RunEvent::Restarted { step, .. } => {
                    let id = told.id;
                    let span = known.spans.entry(step).or_insert(Span { first: id, last: id });
                    span.last = id;
                }
                RunEvent::ToolCall { .. } | RunEvent::ToolResult { .. }
                    if told.id > tools_after =>
                {
                    known.tools.push(told);
                }
                _ => {}
            }
        }
        known
    }
}

/// The ids of a turn's events: of the first and of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first one.
    pub first: i64,
    /// The last one.
    pub last: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Recording {
    state: Mutex<State>,
    /// Something waits to be stored.
    filled: Notify,
    /// The id of the newest event that was told.
    told: watch::Sender<i64>,
}

#[derive(Debug)]
struct State {
    next: i64,
    waiting: VecDeque<Waiting>,
    /// How many of them are being stored.
    in_flight: usize,
    known: Known,
    turn: Turn,
}

#[derive(Debug)]
struct Waiting {
    told: Told,
    /// Whether readers here have been told already, because the store was away.
    is_out: bool,
}

/// The newest turn of the model.
#[derive(Debug, Default)]
struct Turn {
    step: u32,
    /// Its text as readers have it.
    told: String,
    /// Its text as far as the model has said it this time.
    said: String,
    span: Option<Span>,
}

impl Recording {
    /// A recording under the lease with this fencing token.
    pub fn new(fence: i64, known: Known) -> Self {
        let state = State {
            next: fence.saturating_mul(IDS_PER_FENCE) + 1,
            waiting: VecDeque::new(),
            in_flight: 0,
            known,
            turn: Turn::default(),
        };
        Self { state: Mutex::new(state), filled: Notify::new(), told: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id that the next event gets.
    pub fn next_id(&self) -> i64 {
        self.state().next
    }

    /// Takes up an event; returns the id under which readers get it.
    pub fn push(&self, event: RunEvent) -> Option<i64> {
        let mut state = self.state();
        let id = match event {
            RunEvent::Chunk { data, step: Some(step) } => {
                state.begin(step);
                state.turn.said.push_str(&data);
                state.tell_text(data.len());
                None
            }
            RunEvent::Restarted { step, from, reason } => {
                state.take_back(step, from, reason);
                None
            }
            event @ (RunEvent::ToolCall { .. } | RunEvent::ToolResult { .. }) => {
                let known = state.known.tools.iter().find(|known| is_same(&known.event, &event));
                Some(match known {
                    Some(known) => known.id,
                    None => {
                        let id = state.tell(event.clone());
                        state.known.tools.push(Told { id, event });
                        id
                    }
                })
            }
            // Readers get the first from the journal, and a stored reply is no turn's.
            RunEvent::Start { .. } | RunEvent::Chunk { step: None, .. } => None,
        };
        drop(state);
        self.filled.notify_one();
        id
    }

    /// The model is asked, perhaps once more, for the turn at this place.
    pub fn ask(&self, step: u32) {
        let mut state = self.state();
        state.begin(step);
        state.turn.said.clear();
        if std::mem::take(&mut state.known.is_unsure) {
            // Whatever readers have of this turn, nothing is told twice.
            state.turn.told.clear();
            let (from, reason) = (0, RestartReason::Resumed);
            state.tell_of_turn(RunEvent::Restarted { step, from, reason });
            drop(state);
            self.filled.notify_one();
        }
    }

    /// A turn is complete with this text: what readers have of it becomes equal to it. Returns the ids of
    /// its events once readers can have them.
    pub async fn complete(&self, step: u32, text: &str) -> Option<Span> {
        let span = {
            let mut state = self.state();
            state.begin(step);
            text.clone_into(&mut state.turn.said);
            state.tell_text(usize::MAX);
            state.tell_end();
            state.turn.span
        };
        self.filled.notify_one();
        self.flushed().await;
        span
    }

    /// The journal says that no use can be made of a turn: its words are void, where readers have some.
    pub fn reject(&self, step: u32) {
        {
            let mut state = self.state();
            state.begin(step);
            state.take_back(step, 0, RestartReason::Rejected);
        }
        self.filled.notify_one();
    }

    /// Another turn than the known one begins: its calls are new ones.
    pub fn forget_tools(&self) {
        self.state().known.tools.clear();
    }

    /// Waits until all events so far have been told.
    pub async fn flushed(&self) {
        let (mut told, newest) = (self.told.subscribe(), self.state().next - 1);
        if self.state().is_all_out() {
            return;
        }
        // The sender lives as long as this value.
        let _told = told.wait_for(|told| *told >= newest).await;
    }

    /// Waits until something is to be stored.
    pub async fn filled(&self) {
        while self.state().waiting.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Whether something is there that readers have not been told.
    pub fn has_news(&self) -> bool {
        !self.state().is_all_out()
    }

    /// The next events to be stored, with ids that follow on each other. They stay waiting until
    /// [`Recording::stored`].
    pub fn next_batch(&self, most: usize, bytes: usize) -> Vec<Told> {
        let mut state = self.state();
        let (mut batch, mut size) = (Vec::new(), 0);
        for waiting in state.waiting.iter().take(most) {
            size += size_of(&waiting.told.event);
            let follows = batch.last().is_none_or(|last: &Told| last.id + 1 == waiting.told.id);
            if !follows || (size > bytes && !batch.is_empty()) {
                break;
            }
            batch.push(waiting.told.clone());
        }
        state.in_flight = batch.len();
        batch
    }

    /// The batch is stored, or never will be. Returns what of it readers here have not been told.
    pub fn stored(&self) -> Vec<Told> {
        let mut state = self.state();
        let many = std::mem::take(&mut state.in_flight);
        let done = state.waiting.drain(..many).filter(|waiting| !waiting.is_out);
        done.map(|waiting| waiting.told).collect()
    }

    /// The store is away: returns everything that readers here have not been told. It stays waiting, as
    /// far as there is room.
    pub fn store_is_away(&self) -> Vec<Told> {
        let mut state = self.state();
        state.in_flight = 0;
        let mut news = Vec::new();
        for waiting in state.waiting.iter_mut().filter(|waiting| !waiting.is_out) {
            waiting.is_out = true;
            news.push(waiting.told.clone());
        }
        let size: usize = state.waiting.iter().map(|waiting| size_of(&waiting.told.event)).sum();
        if size > MAX_BACKLOG {
            state.waiting.clear();
        }
        news
    }

    /// Readers here have been told up to this id.
    pub fn told_until(&self, id: i64) {
        self.told.send_if_modified(|told| {
            let is_new = id > *told;
            *told = id.max(*told);
            is_new
        });
    }
}

impl State {
    fn is_all_out(&self) -> bool {
        self.waiting.iter().all(|waiting| waiting.is_out)
    }

    /// The turn at this place is the newest one.
    fn begin(&mut self, step: u32) {
        if self.turn.step != step {
            let told = self.known.texts.of_turn(step).to_owned();
            let span = self.known.spans.get(&step).copied();
            self.turn = Turn { step, told, span, ..Turn::default() };
        }
    }

    /// Tells what has been said and is not known; `added` bytes are new.
    fn tell_text(&mut self, added: usize) {
        let Turn { step, told, said, .. } = &mut self.turn;
        let step = *step;
        let before = said.len().saturating_sub(added);
        // Mostly nothing had been told by another instance.
        let same =
            if before == told.len() && added != usize::MAX { before } else { common(told, said) };
        if same == said.len() {
            return;
        }
        // Counted only where it is told: mostly it is not.
        let void_from = (same < told.len()).then(|| code_points(&told[..same]));
        told.truncate(same);
        let news = said[same..].to_owned();
        told.push_str(&news);
        if let Some(from) = void_from {
            self.tell_of_turn(RunEvent::Restarted { step, from, reason: RestartReason::Resumed });
        }
        self.tell_of_turn(RunEvent::Chunk { data: news, step: Some(step) });
    }

    /// The turn is complete: what was told beyond it is void.
    fn tell_end(&mut self) {
        let from = code_points(&self.turn.said);
        let step = self.turn.step;
        self.take_back(step, from, RestartReason::Resumed);
    }

    /// The turn's text is void from a code point on, where any was told.
    fn take_back(&mut self, step: u32, from: u64, reason: RestartReason) {
        self.begin(step);
        let end = byte_of(&self.turn.told, from);
        if end == self.turn.told.len() {
            return;
        }
        self.turn.told.truncate(end);
        self.turn.said.truncate(byte_of(&self.turn.said, from));
        self.tell_of_turn(RunEvent::Restarted { step, from, reason });
    }

    fn tell_of_turn(&mut self, event: RunEvent) {
        let id = self.tell(event);
        let first = self.turn.span.map_or(id, |span| span.first);
        self.turn.span = Some(Span { first, last: id });
    }

    /// Puts an event into the sequence, or text into the chunk that waits last.
    fn tell(&mut self, event: RunEvent) -> i64 {
        let is_free = self.waiting.len() > self.in_flight;
        if let (true, Some(last)) = (is_free, self.waiting.back_mut())
            && !last.is_out
            && let RunEvent::Chunk { data, step } = &event
            && let RunEvent::Chunk { data: there, step: same } = &mut last.told.event
            && (step, there.len() < FULL_CHUNK) == (&*same, true)
        {
            there.push_str(data);
            return last.told.id;
        }
        let id = self.next;
        self.next += 1;
        self.waiting.push_back(Waiting { told: Told { id, event }, is_out: false });
        id
    }
}

/// Whether a call or a result is one that was told already.
fn is_same(known: &RunEvent, new: &RunEvent) -> bool {
    match (known, new) {
        (
            RunEvent::ToolResult { id, ok, error, .. },
            RunEvent::ToolResult { id: new_id, ok: new_ok, error: new_error, .. },
        ) => (id, ok, error) == (new_id, new_ok, new_error),
        (known, new) => known == new,
    }
}

fn size_of(event: &RunEvent) -> usize {
    // A string in JSON may take more than its bytes; most of it does not.
    64 + match event {
        RunEvent::Chunk { data, .. } => data.len() * 2,
        RunEvent::ToolCall { arguments, .. } => arguments.to_string().len(),
        RunEvent::ToolResult { error, .. } => error.as_ref().map_or(0, |error| error.len() * 2),
        RunEvent::Start { .. } | RunEvent::Restarted { .. } => 64,
    }
}

#[cfg(test)]
mod tests;
