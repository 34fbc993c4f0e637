//! Whether a run was as expected.

use serde_json::{Value, json};

use crate::expect::{CallExpectation, Expect, OutputSchema, TextExpectation};
use crate::pattern::Pattern;
use crate::report::{Answered, Failure, MadeCall};

/// How a replayed run ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// The ending, or the code of its error.
    pub status: String,
    /// What the error says.
    pub error: Option<String>,
    /// The calls of the model, in order.
    pub calls: Vec<MadeCall>,
    /// The reply.
    pub response: String,
    /// The system prompt.
    pub prompt: String,
    /// How often the model was asked.
    pub turns: u32,
    /// The tokens of its calls.
    pub tokens: u64,
    /// Their price, where it is known.
    pub cost_usd: Option<f64>,
    /// How long it took, milliseconds.
    pub latency_ms: u64,
}

/// What of the expectations does not hold, all but the judge's.
pub async fn judge_run(expect: &Expect, run: &Ended) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut fail = |expectation: &str, expected: Value, actual: Value| {
        failures.push(Failure { expectation: expectation.to_owned(), expected, actual });
    };
    let wanted = expect.status.as_deref().unwrap_or("ok");
    if run.status != wanted {
        let actual = match &run.error {
            Some(error) => format!("{}: {error}", run.status),
            None => run.status.clone(),
        };
        fail("status", json!(wanted), json!(actual));
    }
    for call in &expect.calls {
        let made = count(call, &run.calls);
        if made < call.min || call.max.is_some_and(|max| made > max) {
            fail("calls", json!(call), told(call, made, &run.calls));
        }
    }
    for call in &expect.no_calls {
        let made = count(call, &run.calls);
        if made > 0 {
            fail("no_calls", json!(call), told(call, made, &run.calls));
        }
    }
    for call in run.calls.iter().filter(|call| call.unasked) {
        let named = format!("{} {}", call.tool, call.arguments);
        let expected = json!(format!("a person approves {named}, as in the journal"));
        fail("approval", expected, json!("no rule asks for that any more"));
    }
    if let Some(missing) = first_missing(expect, &run.calls) {
        let tools: Vec<_> = made(&run.calls).map(|call| call.tool.as_str()).collect();
        fail("order", json!(expect.order), json!(format!("no {missing} in {}", tools.join(", "))));
    }
    for pattern in &expect.refused {
        let is_it = |call: &&MadeCall| is_named(pattern, call).is_some();
        let of_it: Vec<_> = run.calls.iter().filter(is_it).collect();
        if !of_it.iter().any(|call| call.answered == Answered::Refused) {
            let actual = match of_it.first() {
                Some(call) => format!("{} was not refused", call.tool),
                None => "it was not called".to_owned(),
            };
            fail("refused", json!(pattern), json!(actual));
        }
    }
    for (name, wanted, text) in [
        ("response", &expect.response, run.response.as_str()),
        ("prompt", &expect.prompt, run.prompt.as_str()),
    ] {
        for (expected, actual) in wanted.iter().flat_map(|wanted| unlike(wanted, text)) {
            fail(name, expected, actual);
        }
    }
    if let Some(output) = &expect.output {
        for error in misfits(output, &run.response).await {
            fail("output", json!(output), json!(error));
        }
    }
    if let Some(most) = expect.max_cost_usd {
        match run.cost_usd {
            Some(cost) if cost <= most => {}
            Some(cost) => fail("max_cost_usd", json!(most), json!(cost)),
            None => fail("max_cost_usd", json!(most), json!("the price is not known")),
        }
    }
    for (name, most, actual) in [
        ("max_tokens", expect.max_tokens, run.tokens),
        ("max_turns", expect.max_turns.map(u64::from), u64::from(run.turns)),
        ("max_latency_ms", expect.max_latency_ms, run.latency_ms),
    ] {
        if let Some(most) = most.filter(|most| actual > *most) {
            fail(name, json!(most), json!(actual));
        }
    }
    failures
}

fn made(calls: &[MadeCall]) -> impl Iterator<Item = &MadeCall> {
    calls.iter().filter(|call| call.is_made())
}

/// The arguments of a call that a pattern names: of the tool that is meant, or of the one that was called.
fn is_named<'a>(pattern: &Pattern, call: &'a MadeCall) -> Option<&'a Value> {
    let endpoint = call.endpoint.as_deref();
    let meant = call.meant.as_ref().map(|(tool, arguments)| (tool, arguments));
    let called = std::iter::once((&call.tool, &call.arguments));
    let mut all = meant.into_iter().chain(called);
    all.find(|(tool, arguments)| pattern.fits(tool, endpoint, arguments)).map(|(_, a)| a)
}

/// How often a call was made.
fn count(wanted: &CallExpectation, calls: &[MadeCall]) -> u32 {
    let like = |call: &&MadeCall| {
        is_named(&wanted.tool, call).is_some_and(|arguments| {
            wanted.arguments.as_ref().is_none_or(|like| like.fits(arguments))
        })
    };
    u32::try_from(made(calls).filter(like).count()).unwrap_or(u32::MAX)
}

fn times(number: u32) -> String {
    match number {
        0 => "not made".to_owned(),
        1 => "made once".to_owned(),
        more => format!("made {more} times"),
    }
}

/// How often it was made, and with which arguments.
fn told(wanted: &CallExpectation, made_so: u32, calls: &[MadeCall]) -> Value {
    let others: Vec<_> =
        made(calls).filter(|call| is_named(&wanted.tool, call).is_some()).take(5).collect();
    match (wanted.arguments.is_some(), others.is_empty()) {
        (true, false) => {
            let arguments: Vec<_> = others.iter().map(|call| call.arguments.to_string()).collect();
            json!(format!("{}; {} with {}", times(made_so), wanted.tool, arguments.join(" and ")))
        }
        _ => json!(times(made_so)),
    }
}

/// The first of the tools that is not called after those before it.
fn first_missing(expect: &Expect, calls: &[MadeCall]) -> Option<String> {
    let mut calls = made(calls);
    let missing =
        expect.order.iter().find(|pattern| !calls.any(|call| is_named(pattern, call).is_some()));
    missing.map(ToString::to_string)
}

/// What of a text is not as expected: what was expected, and the text.
fn unlike(wanted: &TextExpectation, text: &str) -> Vec<(Value, Value)> {
    let shown = || json!(text);
    let mut unlike = Vec::new();
    let missing = wanted.contains.0.iter().filter(|part| !text.contains(part.as_str()));
    unlike.extend(missing.map(|part| (json!({ "contains": part }), shown())));
    let there = wanted.not_contains.0.iter().filter(|part| text.contains(part.as_str()));
    unlike.extend(there.map(|part| (json!({ "not_contains": part }), shown())));
    let unmatched = wanted.matches.0.iter().filter(|regex| !regex.is_match(text));
    unlike.extend(unmatched.map(|regex| (json!({ "matches": regex.as_str() }), shown())));
    unlike
}

async fn misfits(output: &OutputSchema, response: &str) -> Vec<String> {
    schemas::reply::check(response, &output.schema).await.errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tool: &str, arguments: Value, answered: Answered) -> MadeCall {
        MadeCall {
            tool: tool.to_owned(),
            arguments,
            answered,
            endpoint: None,
            meant: None,
            waits: false,
            unasked: false,
        }
    }

    fn run() -> Ended {
        Ended {
            status: "ok".to_owned(),
            calls: vec![
                call("read_skill", json!({ "name": "a" }), Answered::Workspace),
                call("refund", json!({ "id": 1 }), Answered::Refused),
                call("list", json!({ "q": "x" }), Answered::Journal),
                call("list", json!({ "q": "y" }), Answered::Fixture),
            ],
            response: "{\"sum\": 3}".to_owned(),
            prompt: "You are scout.".to_owned(),
            turns: 3,
            tokens: 100,
            cost_usd: Some(0.01),
            latency_ms: 50,
            error: None,
        }
    }

    async fn failed(expect: Value) -> Vec<String> {
        let expect: Expect = serde_json::from_value(expect).unwrap();
        let failures = judge_run(&expect, &run()).await;
        failures.into_iter().map(|failure| failure.expectation).collect()
    }

    #[tokio::test]
    async fn what_holds_is_no_failure() {
        for expect in [
            json!({}),
            json!({ "status": "ok" }),
            json!({ "calls": [{ "tool": "list", "min": 2, "max": 2 }] }),
            json!({ "calls": [{ "tool": "list", "arguments": { "q": "x" }, "max": 1 }, "read_skill"] }),
            json!({ "calls": [{ "tool": "refund", "max": 0 }] }),
            json!({ "no_calls": ["refund", { "tool": "list", "arguments": { "q": "z" } }] }),
            json!({ "order": ["read_skill", "list", "list"] }),
            json!({ "refused": ["ref*"] }),
            json!({ "response": { "contains": ["sum", "3"], "not_contains": "4", "matches": "\\d" } }),
            json!({ "prompt": { "contains": "scout" } }),
            json!({ "output": { "type": "object", "required": ["sum"] } }),
            json!({ "max_cost_usd": 0.01, "max_tokens": 100, "max_turns": 3, "max_latency_ms": 50 }),
        ] {
            assert_eq!(failed(expect.clone()).await, [""; 0], "{expect}");
        }
    }

    #[tokio::test]
    async fn a_call_that_nobody_is_asked_for_any_more_fails() {
        let mut run = run();
        run.calls[2].unasked = true;
        let failures = judge_run(&Expect::default(), &run).await;
        let [failure] = &failures[..] else { panic!("{failures:?}") };
        assert_eq!(failure.expectation, "approval");
        assert!(failure.expected.to_string().contains("list"), "{failure:?}");
    }

    #[tokio::test]
    async fn what_does_not_hold_is_told() {
        for (expect, failing) in [
            (json!({ "status": "awaiting_approval" }), "status"),
            (json!({ "calls": ["refund"] }), "calls"),
            (json!({ "calls": [{ "tool": "list", "min": 3 }] }), "calls"),
            (json!({ "calls": [{ "tool": "list", "max": 1 }] }), "calls"),
            (json!({ "calls": [{ "tool": "list", "arguments": { "q": "z" } }] }), "calls"),
            (json!({ "no_calls": ["li*"] }), "no_calls"),
            (json!({ "order": ["list", "read_skill"] }), "order"),
            (json!({ "order": ["list", "list", "list"] }), "order"),
            (json!({ "refused": ["list"] }), "refused"),
            (json!({ "refused": ["nothing"] }), "refused"),
            (json!({ "response": { "contains": "four" } }), "response"),
            (json!({ "response": { "not_contains": "sum" } }), "response"),
            (json!({ "response": { "matches": "^x" } }), "response"),
            (json!({ "prompt": { "contains": "jarvis" } }), "prompt"),
            (json!({ "output": { "required": ["total"] } }), "output"),
            (json!({ "max_cost_usd": 0.009 }), "max_cost_usd"),
            (json!({ "max_tokens": 99 }), "max_tokens"),
            (json!({ "max_turns": 2 }), "max_turns"),
            (json!({ "max_latency_ms": 49 }), "max_latency_ms"),
        ] {
            assert_eq!(failed(expect.clone()).await, [failing], "{expect}");
        }
        let unpriced = Ended { cost_usd: None, ..run() };
        let expect: Expect = serde_json::from_value(json!({ "max_cost_usd": 1 })).unwrap();
        assert_eq!(judge_run(&expect, &unpriced).await.len(), 1);
    }
}
