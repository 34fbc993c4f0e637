//! What a case of a run has of its journal: the answers of the tools, and what the run did, which is expected of its
//! replay.

use std::collections::BTreeSet;

use evals::{CallExpectation, Expect, Matcher, OutputSchema, Pattern, RecordedAnswer, key_of};
use mc_client::runs::{Run, RunStatus};
use mc_client::steps::ToolStep;
use serde_json::Value;

use crate::eval_journal::{Recorded, answer_of, asked_for, is_refused, status_of};
use crate::tools::ASK_USER;

/// What the tools answered, and which calls wait for a person. Where a rule may have asked for approval that the case
/// does not have, a replay that does not ask says nothing.
pub(crate) fn answers(run: &Run, recorded: &Recorded, has_rules: bool) -> Vec<RecordedAnswer> {
    let given = recorded.tools.iter().filter(|step| !is_refused(step)).map(|step| RecordedAnswer {
        tool: step.name.clone(),
        arguments: asked_for(step).clone(),
        nth: Some(step.nth),
        ok: step.ok,
        approval: has_rules && needed_approval(step),
        content: Value::String(answer_of(step)),
    });
    let mut answers: Vec<_> = given.collect();
    let waits = [RunStatus::AwaitingApproval, RunStatus::AwaitingAnswer];
    if run.known_status().is_some_and(|status| waits.contains(&status)) {
        let waiting = recorded.waiting();
        answers.extend(waiting.into_iter().map(|call| RecordedAnswer {
            tool: call.name.clone(),
            arguments: call.arguments.clone(),
            nth: None,
            ok: false,
            approval: has_rules && call.name != ASK_USER,
            content: Value::Null,
        }));
    }
    answers
}

/// Whether a person decided a call, or had decided it before by a standing rule.
fn needed_approval(step: &ToolStep) -> bool {
    step.name != ASK_USER && (step.tool_request_id.is_some() || step.rule_id.is_some())
}

/// Whether something in a value could be taken for an operator of a matcher.
fn has_operator(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('$'),
        Value::Array(items) => items.iter().any(has_operator),
        Value::Object(fields) => {
            fields.iter().any(|(name, field)| name.starts_with('$') || has_operator(field))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The calls that were made, each as often as there were some that are like it.
fn expected_calls(made: &[&ToolStep]) -> Vec<CallExpectation> {
    let mut seen = BTreeSet::new();
    let mut calls = Vec::new();
    for step in made {
        let arguments = Some(asked_for(step)).filter(|arguments| !has_operator(arguments));
        let arguments = arguments.and_then(|arguments| Matcher::new(arguments.clone()).ok());
        let key = arguments.as_ref().map(|_| key_of(&step.name, asked_for(step), &[]));
        if !seen.insert((step.name.clone(), key)) {
            continue;
        }
        let is_like = |other: &&&ToolStep| {
            other.name == step.name
                && arguments.as_ref().is_none_or(|like| like.fits(asked_for(other)))
        };
        let count = u32::try_from(made.iter().filter(is_like).count()).unwrap_or(u32::MAX);
        let tool = Pattern::from(step.name.as_str());
        calls.push(CallExpectation { tool, arguments, min: count, max: Some(count) });
    }
    calls
}

/// What a run is expected to do: what it did.
///
/// # Errors
/// When its output's schema cannot be used.
pub(crate) fn expected(run: &Run, recorded: &Recorded, most: usize) -> Result<Expect, String> {
    let made: Vec<_> = recorded.tools.iter().filter(|step| !is_refused(step)).collect();
    let refused: BTreeSet<_> =
        recorded.tools.iter().filter(|step| is_refused(step)).map(|step| &step.name).collect();
    let output = recorded.request.output.as_ref().filter(|output| output.strict);
    let output = output.map(|output| OutputSchema::new(output.schema.clone())).transpose()?;
    Ok(Expect {
        status: Some(status_of(run, recorded, most)),
        calls: expected_calls(&made),
        refused: refused.into_iter().map(|tool| Pattern::from(tool.as_str())).collect(),
        output: output.filter(|_| run.known_status() == Some(RunStatus::Completed)),
        max_turns: u32::try_from(recorded.turns.len()).ok(),
        ..Expect::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(name: &str, arguments: Value) -> ToolStep {
        ToolStep { name: name.to_owned(), arguments, ..ToolStep::default() }
    }

    #[test]
    fn approvals_are_expected_where_their_rules_are_known() {
        let request = json!({ "message": "", "history": [], "newest": "", "metadata": {}, "limits": {}, "task": null,
            "workspace_digest": "", "fingerprint": "", "task_id": "t" });
        let approved = ToolStep { tool_request_id: Some("r".to_owned()), ..step("pay", json!({})) };
        let steps = [
            ("request", request),
            ("tool", json!(approved)),
            ("tool", json!(step("look", json!({})))),
        ];
        let steps = steps.into_iter().enumerate().map(
            |(index, (kind, payload))| json!({ "index": index, "kind": kind, "payload": payload }),
        );
        let run = json!({ "run_key": "k", "steps": steps.collect::<Vec<_>>() });
        let run: Run = serde_json::from_value(run).unwrap();
        let recorded = Recorded::of(&run).unwrap();
        for (has_rules, expected) in [(true, [true, false]), (false, [false, false])] {
            let answers = answers(&run, &recorded, has_rules);
            assert_eq!(answers.iter().map(|answer| answer.approval).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_run_is_as_its_own_expectations_have_it() {
        let steps = [
            step("list", json!({})),
            step("list", json!({ "status": "pending" })),
            step("list", json!({ "status": "pending" })),
            step("find", json!({ "price": { "$gte": 5 } })),
            step("find", json!({ "q": "$any" })),
            step("find", json!({ "q": "x" })),
        ];
        let calls = expected_calls(&steps.iter().collect::<Vec<_>>());
        let counts: Vec<_> = calls.iter().map(|call| (call.min, call.max)).collect();
        assert_eq!(counts, [(3, Some(3)), (2, Some(2)), (3, Some(3)), (1, Some(1))]);
        assert!(calls[2].arguments.is_none() && calls[3].arguments.is_some());
    }
}
