//! All events of a detached run in order, from what the backend has: the steps of its journal, and the
//! events that are still kept. Where events are missing, a step's text, or the rest of it, is one chunk.
//! No IO; the same at every instance.

use std::collections::{BTreeMap, BTreeSet};

use mc_client::deltas::IDS_PER_FENCE;
use mc_client::runs::RunStep;
use serde::Deserialize;
use serde_json::Value;

use super::events::{RestartReason, RunEvent};
use super::told::{Texts, Told};

/// How many ids after the last known one of a lease may have been given while the store was away.
const IN_DOUBT: i64 = 4_096;

/// An event for a reader.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its id; `None` where no reader can go on from it.
    pub id: Option<i64>,
    /// What happened.
    pub event: RunEvent,
}

/// All events of a run so far.
#[derive(Debug, Default)]
pub struct Script {
    lines: Vec<(i64, Line)>,
    turns: Vec<Turn>,
    /// All ids that are known to have been given: of kept events, and those that steps name.
    ids: BTreeSet<i64>,
    /// The newest of them.
    newest: i64,
}

/// A turn of the model that has told something.
#[derive(Debug)]
struct Turn {
    step: u32,
    /// The id of its first event.
    first: i64,
    /// The id of its last event; of the newest turn more may follow.
    last: i64,
    is_open: bool,
    /// Whether all its events are kept.
    is_whole: bool,
}

/// A turn of the model as the journal has it.
#[derive(Debug, Deserialize)]
struct TurnStep {
    completion: TurnCompletion,
    /// The text as readers get it, where that is another one.
    #[serde(default)]
    shown: Option<String>,
    #[serde(default)]
    first_event: Option<i64>,
    #[serde(default)]
    last_event: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct TurnCompletion {
    message: TurnMessage,
}

#[derive(Debug, Deserialize)]
struct TurnMessage {
    #[serde(default)]
    text: String,
}

/// A tool's result as the journal has it.
#[derive(Debug, Deserialize)]
struct ResultStep {
    call_id: String,
    name: String,
    #[serde(default)]
    arguments: Value,
    ok: bool,
    #[serde(default)]
    duration_ms: u64,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    first_event: Option<i64>,
    #[serde(default)]
    last_event: Option<i64>,
}

/// The id of the last event that steps of a journal name; 0 where they name none.
pub fn last_event(steps: &[RunStep]) -> i64 {
    let ids = steps.iter().filter_map(|step| step.payload.get("last_event")?.as_i64());
    ids.max().unwrap_or(0)
}

/// The id of the last event of the newest turn of the model in a journal, or of what is before it.
pub fn last_event_of_turns(steps: &[RunStep]) -> i64 {
    let newest = steps.iter().rposition(|step| step.kind == "llm");
    newest.map_or(0, |at| last_event(&steps[..=at]))
}

impl Script {
    /// The events of a journal with these steps, in their order, and of what is kept, by ids. Of a run
    /// that is completed the last answer stands, even if it was rejected.
    pub fn new(steps: &[RunStep], kept: &BTreeMap<i64, RunEvent>, is_completed: bool) -> Self {
        let mut script = Self::default();
        let mut journaled = BTreeSet::new();
        for step in steps {
            match step.kind.as_str() {
                "llm" | "llm_rejected" => {
                    journaled.insert(step.index);
                    let is_last = steps.last().is_some_and(|last| last.index == step.index);
                    let is_void = step.kind == "llm_rejected" && !(is_last && is_completed);
                    if let Ok(turn) = TurnStep::deserialize(&step.payload) {
                        script.add_turn(step.index, is_void, turn, kept);
                    }
                }
                "tool" => {
                    if let Ok(result) = ResultStep::deserialize(&step.payload) {
                        script.add_result(result);
                    }
                }
                _ => {}
            }
        }
        script.add_open(&journaled, kept);
        script.ids.extend(kept.keys());
        let named = |step: &RunStep, name: &str| step.payload.get(name).and_then(Value::as_i64);
        for name in ["first_event", "last_event"] {
            script.ids.extend(steps.iter().filter_map(|step| named(step, name)));
        }
        script.newest = script.ids.last().copied().unwrap_or(0);
        script.lines.sort_by_key(|(at, _)| *at);
        script.lines.dedup_by(|next, line| line.1.id.is_some() && line.1.id == next.1.id);
        script
    }

    /// The id of the newest event; 0 where there is none.
    pub fn last_id(&self) -> i64 {
        self.lines.iter().filter_map(|(_, line)| line.id).max().unwrap_or(0)
    }

    /// What a reader gets: everything (but for `start`), or what follows the event that it has seen
    /// last. `None` while that event is not known and may become so, before the run `is_over`.
    pub fn after(&self, seen: Option<i64>, is_over: bool) -> Option<Vec<Line>> {
        let all = || self.lines.iter().map(|(_, line)| line.clone()).collect();
        let Some(seen) = seen.filter(|seen| *seen != 0) else { return Some(all()) };
        let known = self.lines.iter().rposition(|(_, line)| line.id == Some(seen));
        if let Some(known) = known {
            return Some(self.lines[known + 1..].iter().map(|(_, line)| line.clone()).collect());
        }
        if self.was_never_given(seen) {
            let rest = self.lines.iter().filter(|(at, _)| *at > seen);
            return Some(rest.map(|(_, line)| line.clone()).collect());
        }
        let is_of = |turn: &&Turn| turn.is_open || turn.last > seen;
        let turn = self.turns.iter().find(is_of);
        let Some(turn) = turn.or_else(|| self.turns.last().filter(|_| is_over)) else {
            return is_over.then(all);
        };
        let (step, reason) = (turn.step, RestartReason::Lost);
        let mut lines =
            vec![Line { id: None, event: RunEvent::Restarted { step, from: 0, reason } }];
        let first = self.lines.iter().position(|(_, line)| line.event.turn() == Some(step));
        let rest = self.lines.iter().skip(first.unwrap_or(self.lines.len()));
        lines.extend(rest.map(|(_, line)| line.clone()));
        Some(lines)
    }

    /// Whether no instance can have given an id that is not known, but lies between or before the known ones: none of
    /// its lease is known, or those that are end long before it. An instance may have died while the store was
    /// away, with words told that nobody else knows; then its next ids are in doubt.
    fn was_never_given(&self, id: i64) -> bool {
        if id >= self.newest {
            return false;
        }
        // A turn may have had events of leases of which nothing else is known.
        let is_told = |turn: &Turn| !turn.is_whole && (turn.first..=turn.last).contains(&id);
        if self.turns.iter().any(is_told) {
            return false;
        }
        let fence = id / IDS_PER_FENCE;
        let begin = fence * IDS_PER_FENCE;
        match self.ids.range(begin..begin + IDS_PER_FENCE).next_back() {
            None => true,
            Some(last) => id > last.saturating_add(IN_DOUBT),
        }
    }

    fn end(&self) -> i64 {
        self.lines.last().map_or(0, |(at, _)| *at)
    }

    fn push(&mut self, id: Option<i64>, event: RunEvent) {
        self.lines.push((id.unwrap_or(self.end()), Line { id, event }));
    }

    /// A turn in the journal: its kept events, if they come to its text; else those that come to its
    /// beginning, and the rest.
    fn add_turn(
        &mut self,
        index: u32,
        is_rejected: bool,
        turn: TurnStep,
        kept: &BTreeMap<i64, RunEvent>,
    ) {
        let text = turn.shown.unwrap_or(turn.completion.message.text);
        let (Some(first), Some(last)) = (turn.first_event, turn.last_event) else {
            // Told to readers that begin, by a run that had a caller then.
            if !text.is_empty() && !is_rejected {
                self.push(None, RunEvent::Chunk { data: text, step: Some(index) });
            }
            return;
        };
        // What takes back a rejected answer comes after it was journaled.
        let end = if is_rejected { i64::MAX } else { last };
        let own = kept.range(first..=end).filter(|(_, event)| event.turn() == Some(index));
        let own: Vec<Told> =
            own.map(|(id, event)| Told { id: *id, event: event.clone() }).collect();
        if is_rejected {
            for told in own {
                self.push(Some(told.id), told.event);
            }
            return;
        }
        let (mut known, mut texts, mut said) = (0, Texts::default(), 0);
        for (n, told) in own.iter().enumerate() {
            texts.add(&told.event);
            let so_far = texts.of_turn(index);
            // Mostly each event goes on where the one before it fitted, and only its own words are compared.
            let fits = match &told.event {
                RunEvent::Chunk { .. } if known == n && said <= so_far.len() => {
                    text[said..].starts_with(&so_far[said..])
                }
                _ => text.starts_with(so_far),
            };
            if fits {
                (known, said) = (n + 1, so_far.len());
            }
        }
        let is_whole = known == own.len()
            && said == text.len()
            && own.first().is_some_and(|told| told.id == first);
        for told in own.into_iter().take(known) {
            self.push(Some(told.id), told.event);
        }
        if said < text.len() {
            let data = text[said..].to_owned();
            self.lines.retain(|(_, line)| line.id != Some(last));
            self.push(Some(last), RunEvent::Chunk { data, step: Some(index) });
        }
        self.turns.push(Turn { step: index, first, last, is_open: false, is_whole });
    }

    fn add_result(&mut self, result: ResultStep) {
        let ResultStep { call_id: id, name, arguments, ok, duration_ms, error, .. } = result;
        let call = RunEvent::ToolCall { id: id.clone(), name: name.clone(), arguments };
        self.push(result.first_event, call);
        self.push(result.last_event, RunEvent::ToolResult { id, name, ok, duration_ms, error });
    }

    /// What is kept of turns and calls that the journal does not have yet.
    fn add_open(&mut self, journaled: &BTreeSet<u32>, kept: &BTreeMap<i64, RunEvent>) {
        let mut before = None::<i64>;
        let mut open: Option<(u32, i64, i64)> = None;
        let known: BTreeSet<i64> = self.lines.iter().filter_map(|(_, line)| line.id).collect();
        for (&id, event) in kept {
            let is_first = id % IDS_PER_FENCE == 1;
            let follows = is_first || before == Some(id - 1) || known.contains(&(id - 1));
            before = Some(id);
            match event.turn() {
                Some(step) if journaled.contains(&step) => continue,
                // Words before it are missing; the journal will have them.
                Some(_) if !follows => break,
                Some(step) => {
                    let first = open.filter(|open| open.0 == step).map_or(id, |open| open.1);
                    open = Some((step, first, id));
                }
                None if known.contains(&id) => continue,
                None => {}
            }
            self.lines.push((id, Line { id: Some(id), event: event.clone() }));
        }
        if let Some((step, first, last)) = open {
            self.turns.push(Turn { step, first, last, is_open: true, is_whole: true });
        }
    }
}

#[cfg(test)]
mod tests;
