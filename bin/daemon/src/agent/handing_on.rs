//! What a run hands on to other roles (docs/RUNS.md, "Agents that ask each other"): whom it may ask or notify, and the names of
//! its children in its journal, which come before anything that these write.

use std::sync::atomic::{AtomicU32, Ordering};

use mc_client::idempotency::RunKey;
use mc_client::steps::ChildCall;
use serde_json::json;
use service::otel::Span;
use tokio::sync::Mutex;
use tokio::time::Instant;
use wombat_core::workspace::RoleError;

use super::attempts::Attempt;
use super::child::ChildEnd;
use super::context::RunContext;
use super::journal::{CallingStep, ChildReport, Journal};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::lineage::{Refusal, below, refusal};
use crate::run::tree::{Full, PlaceBelow, Tree};
use crate::tools::{Errand, ToolReply};

/// The name space of children's keys.
const KEYS: &str = "child";

/// What a run has handed on so far.
#[derive(Debug, Default)]
pub(super) struct HandedOn {
    /// The next place in the journal, behind the calls of the turn.
    place: AtomicU32,
    pub(super) given: Mutex<Given>,
}

/// How often, and to which children.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The children, which are named in the journal.
    pub(super) children: Vec<ChildCall>,
    /// How many roles were notified.
    pub(super) mentions: usize,
}

impl Given {
    /// How often the run has handed on.
    pub(super) fn count(&self) -> usize {
        self.children.len() + self.mentions
    }
}

impl HandedOn {
    /// What the journal has of it, which `tree` counts.
    pub(super) fn of(journal: &Journal, tree: &Tree) -> Self {
        let (children, mentions) = journal.handed_on();
        tree.recall(children.iter().map(|child| child.run_key.as_str()));
        Self { place: AtomicU32::new(0), given: Mutex::new(Given { children, mentions }) }
    }

    /// The next place in the journal that is free.
    pub(super) fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }

    /// The same from now on: whoever writes there, too, says so.
    pub(super) fn set_place(&self, place: u32) {
        self.place.store(place, Ordering::Relaxed);
    }
}

/// What came of handing on.
pub(super) enum Handed {
    /// A result for the model, and the child that it comes from.
    Done(ToolReply, Option<Box<ChildReport>>),
    /// The child waits for a person.
    Waits(Vec<daemon_api::ToolRequest>),
}

impl RunContext<'_> {
    /// Has another role do a part of the work; goes on with it where an earlier attempt had begun.
    pub(super) async fn hand_on(
        &self,
        attempt: &Attempt<'_>,
        errand: &Errand,
        span: &Span,
    ) -> Result<Handed, RunError> {
        let (child, is_known, _place) = match self.name_child(attempt, &errand.role).await? {
            Ok(named) => named,
            Err(refused) => return Ok(Handed::Done(refused, None)),
        };
        let ended = self.run_child(&child, &errand.message, is_known, span).await;
        let ChildEnd { result, report } = ended;
        let reply = match result {
            Ok(answer) if !answer.tool_requests().is_empty() => {
                return Ok(Handed::Waits(answer.tool_requests().to_vec()));
            }
            Ok(answer) => ToolReply::Data(answer.response),
            // It ends with this run, whose end comes from elsewhere, and goes on with it.
            Err(_) if self.is_at_its_end() => return std::future::pending().await,
            Err(error) => failed(&child.role, &error),
        };
        Ok(Handed::Done(reply, Some(Box::new(report))))
    }

    /// Whether this run is about to be stopped, together with all below it.
    fn is_at_its_end(&self) -> bool {
        self.run.handle.is_stopped() || Instant::now() >= self.run.deadline
    }

    /// The child of a call, named in the journal, whether it was there before, and its place among the runs of
    /// the tree; or why there is none.
    async fn name_child(
        &self,
        attempt: &Attempt<'_>,
        role: &str,
    ) -> Result<Result<(ChildCall, bool, PlaceBelow), ToolReply>, RunError> {
        let mut given = self.handed_on.given.lock().await;
        let at = attempt.at;
        let known = given.children.iter().find(|child| child.at == at && child.role == role);
        let tree = &self.run.handle.tree;
        if let Some(known) = known {
            let place = tree.enter(&known.run_key);
            return Ok(place.map(|place| (known.clone(), true, place)).map_err(full));
        }
        if let Some(refused) = self.refuses(role, given.count()) {
            return Ok(Err(refused));
        }
        let session = &self.run.request.session;
        let key = RunKey::derive_in(KEYS, session.user().as_str(), role, &attempt.key);
        let place = match tree.enter(key.as_str()) {
            Ok(place) => place,
            Err(reached) => return Ok(Err(full(reached))),
        };
        let child = ChildCall { at, run_key: key.as_str().to_owned(), role: role.to_owned() };
        if self.journal.is_enabled() {
            let run_id = self.run.handle.run_id.clone();
            let step =
                CallingStep { run_id, children: vec![child.clone()], ..CallingStep::default() };
            let next = self.handed_on.place();
            self.journal.put_calling(next, &step).await?;
            self.handed_on.set_place(next.saturating_add(1));
        }
        given.children.push(child.clone());
        Ok(Ok((child, false, place)))
    }

    /// Why a role may not be asked or notified, where this run has handed on so often.
    pub(super) fn refuses(&self, role: &str, used: usize) -> Option<ToolReply> {
        if let Err(RoleError::Unknown(unknown)) = self.snapshot.admit(role) {
            let why = unknown.to_string();
            return Some(ToolReply::Refused { code: "unknown_role", why });
        }
        let limits = self.run.app.settings.ask;
        let chain = below(self.run.request, self.run.run_key);
        let refusal = refusal(&chain, role, used, limits)?;
        let why = refusal.sentence(role, limits);
        Some(ToolReply::Refused { code: refusal.code(), why })
    }
}

/// What the model is told where the tree has too many runs.
fn full(reached: Full) -> ToolReply {
    ToolReply::Refused { code: Refusal::Fanout.code(), why: reached.sentence() }
}

/// What the model is told of a child that has not come to a reply.
fn failed(role: &str, error: &RunError) -> ToolReply {
    if error.kind == RunErrorKind::Cancelled {
        let why = format!("agent_cancelled: the run of {role} was cancelled by itself");
        return ToolReply::Rejected(json!({ "error": why, "code": "agent_cancelled" }));
    }
    let why = format!("agent_failed: {role} came to no reply: {}", error.message());
    let details = json!({ "code": error.code() });
    ToolReply::Rejected(json!({ "error": why, "code": "agent_failed", "details": details }))
}
