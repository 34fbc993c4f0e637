//! The order of a journal's steps, which their MACs hold fast.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{JournalKeys, JournalOwner, Place, mac_of};
use crate::runs::{PutStep, RunStep};

/// The kind of a tool's result.
pub const TOOL: &str = "tool";

/// The kind of the step that is written before calls are made that must not be made twice.
pub const CALLING: &str = "calling";

/// Why a journal is not what a daemon wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("step {index} {why}")]
pub struct JournalFault {
    /// The step.
    pub index: u32,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The steps of one run's journal by their MACs. What is sealed or accepted follows on them.
///
/// The tools of one turn of the model finish in any order, so that their steps cannot follow on each
/// other: a tool's step follows on the turn that asked for it, and the next turn on all of them.
#[derive(Debug, Clone)]
pub struct JournalChain {
    keys: Arc<JournalKeys>,
    owner: JournalOwner,
    links: BTreeMap<u32, Link>,
}

#[derive(Debug, Clone)]
struct Link {
    kind: String,
    mac: String,
}

/// Whether a step belongs to the turn before it.
fn is_in_turn(kind: &str) -> bool {
    matches!(kind, TOOL | CALLING)
}

impl JournalChain {
    /// An empty journal.
    pub fn new(keys: Arc<JournalKeys>, owner: JournalOwner) -> Self {
        Self { keys, owner, links: BTreeMap::new() }
    }

    /// Takes up the steps of a journal, in any order.
    ///
    /// # Errors
    /// When a step is missing, is there twice, or was not sealed for this place of this run.
    pub fn read<'a>(
        &mut self,
        steps: impl Iterator<Item = &'a RunStep>,
    ) -> Result<(), JournalFault> {
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|step| step.index);
        let mut next = 0;
        // Tools that have no result yet leave a gap; nothing may have followed on it.
        let mut gap = None;
        for step in steps {
            let fault = |why| JournalFault { index: step.index, why };
            if step.index < next {
                return Err(fault("is there twice"));
            }
            gap = gap.or((step.index > next).then_some(next));
            if let Some(index) = gap.filter(|gap| *gap == 0 || !is_in_turn(&step.kind)) {
                return Err(JournalFault { index, why: "is missing" });
            }
            self.accept(step)?;
            next = step.index.saturating_add(1);
        }
        Ok(())
    }

    /// Takes up one step.
    ///
    /// # Errors
    /// When it was not sealed for its place.
    pub fn accept(&mut self, step: &RunStep) -> Result<(), JournalFault> {
        let fault = |why| JournalFault { index: step.index, why };
        let fields = step.payload.as_object();
        let sealed = fields.and_then(|fields| Some((fields, mac_of(fields)?)));
        let (fields, mac) = sealed.ok_or(fault("has no MAC"))?;
        let previous = self.previous(step.index, &step.kind);
        let place =
            Place { owner: &self.owner, index: step.index, kind: &step.kind, previous: &previous };
        if !self.keys.is_valid(place, fields) {
            return Err(fault("has a MAC that does not fit it"));
        }
        let link = Link { kind: step.kind.clone(), mac: mac.to_owned() };
        self.links.insert(step.index, link);
        Ok(())
    }

    /// Seals a step that is to be written; it is in the chain once it is accepted. `payload` is an
    /// object: there is no place for a MAC in anything else.
    pub fn seal(&self, index: u32, kind: &str, mut payload: Value) -> PutStep {
        if let Value::Object(fields) = &mut payload {
            let previous = self.previous(index, kind);
            let place = Place { owner: &self.owner, index, kind, previous: &previous };
            self.keys.seal(place, fields);
        }
        PutStep { kind: kind.to_owned(), payload }
    }

    /// Takes up a step of [`JournalChain::seal`] that was written.
    pub fn written(&mut self, index: u32, step: &PutStep) {
        let mac = step.payload.as_object().and_then(mac_of).unwrap_or_default().to_owned();
        self.links.insert(index, Link { kind: step.kind.clone(), mac });
    }

    /// What a step follows on: the MACs before it, joined.
    fn previous(&self, index: u32, kind: &str) -> String {
        let mut in_turn: Vec<&Link> = Vec::new();
        let mut turn = None;
        for link in self.links.range(..index).rev().map(|(_, link)| link) {
            if is_in_turn(&link.kind) {
                in_turn.push(link);
            } else {
                turn = Some(link);
                break;
            }
        }
        let turn = turn.map(|link| link.mac.as_str()).unwrap_or_default();
        match kind {
            TOOL => turn.to_owned(),
            CALLING => {
                let earlier = in_turn.iter().find(|link| link.kind == CALLING);
                earlier.map_or(turn, |link| &link.mac).to_owned()
            }
            _ if in_turn.is_empty() => turn.to_owned(),
            _ => in_turn.iter().rev().map(|link| link.mac.as_str()).collect(),
        }
    }
}
