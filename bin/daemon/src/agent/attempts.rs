//! Calls whose outcome is unknown, and what that means for the next equal one: one approval is one
//! execution (docs/RUNS.md, "Calls with an unknown outcome").

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use mc_client::idempotency::{RunKey, canonical_json};
use serde_json::{Map, Value};
use wombat_core::agent_config::AgentProfile;

use super::journal::{CallingStep, ToolStep};
use crate::run::state_machine::PlannedCall;
use crate::tools::{ASK_USER, CallIdentity, RequestedCall, ToolSet};

/// What earlier turns of a run have done that counts for its next calls.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The calls whose outcome is unknown, by what they do.
    unclear: HashMap<String, Vec<Unclear>>,
    /// How many questions a person was asked.
    questions: usize,
    /// How often the model asked for a call.
    asked_for: HashMap<String, u32>,
    /// How often a person gave a call these arguments.
    edited: HashMap<String, u32>,
}

/// Two calls are equal when this text is.
pub(super) fn text_of(name: &str, arguments: &Value) -> String {
    format!("{name}\n{}", canonical_json(arguments))
}

#[derive(Debug, Clone)]
struct Unclear {
    key: String,
    /// Whether a person had approved it.
    was_approved: bool,
}

impl Attempts {
    /// How many questions a person was asked.
    pub(super) fn questions(&self) -> usize {
        self.questions
    }

    /// How many calls equal to this one earlier turns have, asked for or edited.
    pub(super) fn before(&self, text: &str) -> u32 {
        let of = |calls: &HashMap<String, u32>| calls.get(text).copied().unwrap_or_default();
        of(&self.asked_for).saturating_add(of(&self.edited))
    }

    /// Takes up the result of a call.
    pub(super) fn add(&mut self, step: &ToolStep) {
        self.questions += usize::from(was_asked(step));
        let asked_for = step.requested_arguments.as_ref();
        if asked_for.is_some() {
            *self.edited.entry(text_of(&step.name, &step.arguments)).or_default() += 1;
        }
        let asked_for = text_of(&step.name, asked_for.unwrap_or(&step.arguments));
        *self.asked_for.entry(asked_for).or_default() += 1;
        // A call that was not made says nothing about an earlier one.
        let Some(key) = &step.key else { return };
        let unclear = self.unclear.entry(step.operation.clone()).or_default();
        // A refusal of this call says nothing about the earlier one: a limit or an expired token refuses
        // before the server looks for a repetition.
        if step.ok || step.unclear {
            unclear.retain(|earlier| earlier.key != *key);
        }
        if step.unclear {
            let was_approved = step.tool_request_id.is_some() || step.rule_id.is_some();
            unclear.push(Unclear { key: key.clone(), was_approved });
        }
    }
}

/// Whether a call was a question that a person was asked.
pub(super) fn was_asked(step: &ToolStep) -> bool {
    step.name == ASK_USER && step.tool_request_id.is_some()
}

/// The turn of the model that calls belong to.
#[derive(Debug, Default)]
pub(super) struct TurnOrigin {
    /// Whether this run has had the model's answer just now: no other can have made a call of it.
    pub(super) is_fresh: bool,
    /// See [`super::journal::LlmStep`].
    pub(super) definitions: BTreeMap<String, String>,
}

/// Why a call may have taken effect already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// An equal call has no clear outcome.
    Unclear,
    /// The run ended when it was about to be made.
    Announced,
    /// The run ended after the model's answer. It was not made then if a person has to approve it.
    Interrupted,
}

/// One call that is to be made.
#[derive(Debug, Clone)]
pub(super) struct Attempt<'a> {
    /// The call.
    pub(super) planned: Cow<'a, PlannedCall>,
    /// The arguments that the model asked for, where a person gave it others.
    pub(super) requested: Option<Value>,
    /// Its place in the journal.
    pub(super) at: u32,
    /// What it does.
    pub(super) identity: CallIdentity,
    /// The idempotency key to make it under: that of an equal call whose outcome is unknown, so that a
    /// server which honours keys does not do it twice.
    pub(super) key: String,
    doubt: Option<Doubt>,
    /// How often it was about to be made, and had no result.
    interrupted: usize,
    /// See [`TurnOrigin`].
    is_fresh: bool,
    /// The tool's definition, where it has changed since the model's answer.
    changed: Option<String>,
}

/// Why a call may have taken effect already, where `earlier` is an equal one whose outcome is unknown.
fn doubt(
    identity: &CallIdentity,
    earlier: Option<&Unclear>,
    interrupted: usize,
    is_fresh: bool,
) -> Option<Doubt> {
    match earlier {
        _ if identity.honours_key => None,
        _ if interrupted > 0 => Some(Doubt::Announced),
        Some(earlier) if earlier.was_approved || !identity.is_idempotent => Some(Doubt::Unclear),
        _ if !is_fresh && !identity.is_idempotent => Some(Doubt::Interrupted),
        Some(_) | None => None,
    }
}

impl<'a> Attempt<'a> {
    /// The calls of a turn, the first of which has its result at `at`. `callings` are the journal's
    /// steps before calls; `is_done` says which places have a result.
    pub(super) fn of_turn(
        (calls, at): (&'a [PlannedCall], u32),
        run_key: &RunKey,
        (tools, profile): (&ToolSet, &AgentProfile),
        attempts: &Attempts,
        origin: &TurnOrigin,
        callings: &[CallingStep],
    ) -> Vec<Self> {
        let mut taken = Vec::new();
        let attempt = |(at, planned): (u32, &'a PlannedCall)| {
            let call = &planned.call;
            let identity = tools.identify(profile, call);
            let unclear = attempts.unclear.get(&identity.operation).into_iter().flatten();
            let earlier = unclear.into_iter().find(|earlier| !taken.contains(&earlier.key));
            if let Some(earlier) = earlier {
                taken.push(earlier.key.clone());
            }
            let interrupted = callings.iter().filter(|step| step.calls.contains(&at)).count();
            let tool = RequestedCall::of(call).tool;
            let definition = tools.definition(tool);
            Self {
                planned: Cow::Borrowed(planned),
                requested: None,
                at,
                key: earlier.map_or_else(
                    || {
                        // The model's own count knows no call that a person made equal to this one.
                        let text = text_of(&call.name, &call.arguments);
                        let edited = attempts.edited.get(&text).copied().unwrap_or_default();
                        let nth = planned.nth.saturating_add(edited);
                        run_key.tool_key(&call.name, &call.arguments, nth)
                    },
                    |earlier| earlier.key.clone(),
                ),
                doubt: doubt(&identity, earlier, interrupted, origin.is_fresh),
                interrupted,
                is_fresh: origin.is_fresh,
                changed: definition.filter(|now| origin.definitions.get(tool) != Some(now)),
                identity,
            }
        };
        (at..).zip(calls).map(attempt).collect()
    }

    /// The same call with the arguments that a person gave it. They are checked as those of any call when
    /// it is made; its key is their own. `nth` tells which of the run's equal calls a text is.
    pub(super) fn edited(
        &self,
        arguments: Map<String, Value>,
        nth: impl FnOnce(String) -> u32,
        run_key: &RunKey,
        (tools, profile): (&ToolSet, &AgentProfile),
        attempts: &Attempts,
    ) -> Self {
        let mut planned = self.planned.clone().into_owned();
        let requested = planned.call.arguments.clone();
        RequestedCall::replace_arguments(&mut planned.call, Value::Object(arguments));
        let (call, identity) = (&planned.call, tools.identify(profile, &planned.call));
        let unclear = attempts.unclear.get(&identity.operation).and_then(|all| all.first());
        let key = match unclear {
            Some(earlier) => earlier.key.clone(),
            None => {
                let nth = nth(text_of(&call.name, &call.arguments));
                run_key.tool_key(&call.name, &call.arguments, nth)
            }
        };
        let doubt = doubt(&identity, unclear, self.interrupted, self.is_fresh);
        let (planned, requested) = (Cow::Owned(planned), Some(requested));
        Self { planned, requested, identity, key, doubt, ..self.clone() }
    }

    /// Whether the person who gave this call its arguments has to be asked once more: `asked` is the call that
    /// they were asked for, and nobody told them that this one may have taken effect already.
    pub(super) fn has_new_doubt(&self, asked: &Self) -> bool {
        self.doubt == Some(Doubt::Unclear) && asked.doubt != Some(Doubt::Unclear)
    }

    /// Whether a standing rule may stand for a person's approval: the call cannot have been made before.
    pub(super) fn may_go_by_rule(&self) -> bool {
        matches!(self.doubt, None | Some(Doubt::Interrupted))
    }

    /// The key of the use of a standing rule for it.
    pub(super) fn use_key(&self, run_key: &RunKey, rule: &str) -> String {
        format!("{}:rule:{rule}", self.own_key(run_key))
    }

    /// The key of its question.
    pub(super) fn question_key(&self, run_key: &RunKey) -> String {
        self.own_key(run_key) + ":question"
    }

    fn own_key(&self, run_key: &RunKey) -> String {
        let call = &self.planned.call;
        run_key.tool_key(&call.name, &call.arguments, self.planned.nth)
    }

    /// Whether the call may have taken effect already, so that a person has to decide on it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether making it is written down before.
    pub(super) fn is_announced(&self) -> bool {
        !self.identity.honours_key
    }

    /// The key of the request for its approval: another one for each execution, and for each definition
    /// of the tool.
    pub(super) fn approval_key(&self, run_key: &RunKey) -> String {
        let mut key = self.own_key(run_key) + ":approval";
        if self.requested.is_some() {
            // Another call of the turn may have these arguments by itself.
            key += &format!(":edited:{}", self.at);
        }
        if self.interrupted > 0 {
            key += &format!(":{}", self.interrupted);
        }
        if let Some(definition) = &self.changed {
            key += ":";
            key += definition;
        }
        key
    }

    /// What the person who decides has to know. `by_rule` says whether the call needs approval anyway.
    pub(super) fn warnings(&self, by_rule: bool) -> String {
        let doubt = match self.doubt {
            None => "",
            Some(Doubt::Interrupted) if by_rule => "",
            Some(Doubt::Unclear) => {
                "The same call was made before, and it is unknown whether it took effect: it may do so \
                 twice."
            }
            Some(Doubt::Announced | Doubt::Interrupted) => {
                "The run was interrupted, and it is unknown whether this call was made before: it may \
                 take effect twice."
            }
        };
        let changed = match self.changed {
            None => "",
            Some(_) => "The tool's definition has changed since the agent asked for this call.",
        };
        [doubt, changed].join(" ").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of a call of one operation.
    fn result(key: Option<&str>, ok: bool, unclear: bool) -> ToolStep {
        ToolStep {
            call_id: "c".to_owned(),
            name: "pay".to_owned(),
            arguments: serde_json::json!({}),
            nth: 0,
            ok,
            unclear,
            operation: "pay".to_owned(),
            key: key.map(str::to_owned),
            content: String::new(),
            refused: None,
            error: None,
            duration_ms: 0,
            ..ToolStep::default()
        }
    }

    #[test]
    fn only_a_success_clears_a_doubt() {
        let unclear = || result(Some("k"), false, true);
        for (next, left) in [
            (result(Some("k"), true, false), 0),
            (result(Some("k"), false, true), 1),
            (result(Some("k"), false, false), 1),
            (result(None, false, false), 1),
            (result(Some("other"), true, false), 1),
        ] {
            let mut attempts = Attempts::default();
            attempts.add(&unclear());
            attempts.add(&next);
            assert_eq!(attempts.unclear["pay"].len(), left, "{next:?}");
        }
    }
}
