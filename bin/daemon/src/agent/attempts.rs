//! Calls whose outcome is unknown, and what that means for the next equal one: one approval is one
//! execution (docs/RUNS.md, "Calls with an unknown outcome").

use std::collections::{BTreeMap, HashMap};

use mc_client::idempotency::RunKey;
use wombat_core::agent_config::AgentProfile;

use super::journal::{CallingStep, ToolStep};
use crate::run::state_machine::PlannedCall;
use crate::tools::{CallIdentity, RequestedCall, ToolSet};

/// The calls of a run whose outcome is unknown, by what they do.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<String, Vec<Unclear>>);

#[derive(Debug, Clone)]
struct Unclear {
    key: String,
    /// Whether a person had approved it.
    was_approved: bool,
}

impl Attempts {
    /// Takes up the result of a call.
    pub(super) fn add(&mut self, step: &ToolStep) {
        // A call that was not made says nothing about an earlier one.
        let Some(key) = &step.key else { return };
        let unclear = self.0.entry(step.operation.clone()).or_default();
        // A refusal of this call says nothing about the earlier one: a limit or an expired token refuses
        // before the server looks for a repetition.
        if step.ok || step.unclear {
            unclear.retain(|earlier| earlier.key != *key);
        }
        if step.unclear {
            let was_approved = step.tool_request_id.is_some();
            unclear.push(Unclear { key: key.clone(), was_approved });
        }
    }
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
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    /// The call.
    pub(super) planned: &'a PlannedCall,
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
    /// The tool's definition, where it has changed since the model's answer.
    changed: Option<String>,
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
            let unclear = attempts.0.get(&identity.operation).into_iter().flatten();
            let earlier = unclear.into_iter().find(|earlier| !taken.contains(&earlier.key));
            if let Some(earlier) = earlier {
                taken.push(earlier.key.clone());
            }
            let interrupted = callings.iter().filter(|step| step.calls.contains(&at)).count();
            let tool = RequestedCall::of(call).tool;
            let definition = tools.definition(tool);
            Self {
                planned,
                at,
                key: earlier.map_or_else(
                    || run_key.tool_key(&call.name, &call.arguments, planned.nth),
                    |earlier| earlier.key.clone(),
                ),
                doubt: match earlier {
                    _ if identity.honours_key => None,
                    _ if interrupted > 0 => Some(Doubt::Announced),
                    Some(earlier) if earlier.was_approved || !identity.is_idempotent => {
                        Some(Doubt::Unclear)
                    }
                    _ if !origin.is_fresh && !identity.is_idempotent => Some(Doubt::Interrupted),
                    Some(_) | None => None,
                },
                interrupted,
                changed: definition.filter(|now| origin.definitions.get(tool) != Some(now)),
                identity,
            }
        };
        (at..).zip(calls).map(attempt).collect()
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
        let call = &self.planned.call;
        let mut key = run_key.tool_key(&call.name, &call.arguments, self.planned.nth);
        key += ":approval";
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
            tool_request_id: None,
            first_event: None,
            last_event: None,
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
            assert_eq!(attempts.0["pay"].len(), left, "{next:?}");
        }
    }
}
