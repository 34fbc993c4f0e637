//! What answers a replayed call: what the run's journal has, else the first fitting fixture.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::cases::{Case, Fixture};
use crate::json::{canonical, without};
use crate::report::Answered;

/// An answer to a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Whether the call succeeded.
    pub ok: bool,
    /// What was answered.
    pub content: String,
    /// Where it comes from.
    pub from: Answered,
}

/// The answers of a case, which remember what they have been asked.
#[derive(Debug)]
pub struct Answers {
    recorded: HashMap<String, Vec<Recorded>>,
    fixtures: Vec<Fixture>,
    ignore: BTreeMap<String, Vec<String>>,
    seen: HashMap<String, usize>,
}

#[derive(Debug)]
struct Recorded {
    nth: Option<u32>,
    ok: bool,
    content: String,
}

/// What equal calls of a run have in common: the tool, and its arguments but for what is ignored of them.
pub fn key_of(tool: &str, arguments: &Value, ignored: &[String]) -> String {
    let arguments = match arguments {
        Value::Null => "{}".to_owned(),
        arguments if ignored.is_empty() => canonical(arguments),
        arguments => canonical(&without(arguments, ignored)),
    };
    format!("{tool}\n{arguments}")
}

fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Answers {
    /// The answers of a case.
    pub fn of(case: &Case) -> Self {
        let mut recorded: HashMap<String, Vec<Recorded>> = HashMap::new();
        for answer in &case.answers {
            let ignored = case.ignore.get(&answer.tool).map_or(&[][..], Vec::as_slice);
            let key = key_of(&answer.tool, &answer.arguments, ignored);
            let content = text(&answer.content);
            recorded.entry(key).or_default().push(Recorded {
                nth: answer.nth,
                ok: answer.ok,
                content,
            });
        }
        let (fixtures, ignore) = (case.fixtures.clone(), case.ignore.clone());
        Self { recorded, fixtures, ignore, seen: HashMap::new() }
    }

    /// The answer to the next call of this tool with these arguments, if there is one. `endpoint` is what the
    /// tool always calls.
    pub fn next(
        &mut self,
        tool: &str,
        endpoint: Option<&str>,
        arguments: &Value,
    ) -> Option<Answer> {
        let ignored = self.ignore.get(tool).map_or(&[][..], Vec::as_slice);
        let key = key_of(tool, arguments, ignored);
        let nth = self.seen.entry(key.clone()).or_default();
        *nth += 1;
        let of_journal = self.recorded.get(&key).and_then(|all| of_occurrence(all, *nth));
        if let Some(Recorded { ok, content, .. }) = of_journal {
            return Some(Answer { ok: *ok, content: content.clone(), from: Answered::Journal });
        }
        let fixture = self.fixtures.iter().find(|fixture| {
            fixture.tool.fits(tool, endpoint, arguments)
                && fixture.arguments.as_ref().is_none_or(|like| like.fits(arguments))
        })?;
        let content = text(&fixture.content);
        Some(Answer { ok: fixture.ok, content, from: Answered::Fixture })
    }
}

/// The answer to the n-th of equal calls. Where what is ignored makes calls equal that were not, they are
/// taken one after the other.
fn of_occurrence(all: &[Recorded], nth: usize) -> Option<&Recorded> {
    let mut numbers: Vec<_> = all.iter().filter_map(|recorded| recorded.nth).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() < all.len() {
        return all.get(nth - 1);
    }
    all.iter().find(|recorded| recorded.nth.and_then(|n| usize::try_from(n).ok()) == Some(nth))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case(written: Value) -> Case {
        let mut case = json!({ "id": "a", "role": "r", "message": "m" });
        case.as_object_mut().unwrap().extend(written.as_object().unwrap().clone());
        serde_json::from_value(case).unwrap()
    }

    fn told(answers: &mut Answers, tool: &str, arguments: Value) -> Option<(String, Answered)> {
        answers.next(tool, None, &arguments).map(|answer| (answer.content, answer.from))
    }

    #[test]
    fn equal_calls_are_answered_in_their_order_and_then_by_fixtures() {
        let case = case(json!({
            "answers": [
                { "tool": "get", "arguments": { "a": 1 }, "nth": 2, "content": "second" },
                { "tool": "get", "arguments": { "a": 1.0 }, "nth": 1, "content": "first" },
                { "tool": "list", "content": [] },
            ],
            "fixtures": [
                { "tool": "get", "arguments": { "a": { "$gte": 9 } }, "content": "large" },
                { "tool": "ge*", "content": { "b": 1 }, "ok": false },
            ],
        }));
        let mut answers = Answers::of(&case);
        let journal = |text: &str| Some((text.to_owned(), Answered::Journal));
        let fixture = |text: &str| Some((text.to_owned(), Answered::Fixture));
        assert_eq!(told(&mut answers, "get", json!({ "a": 1 })), journal("first"));
        assert_eq!(told(&mut answers, "get", json!({ "a": 1 })), journal("second"));
        assert_eq!(told(&mut answers, "get", json!({ "a": 1 })), fixture("{\"b\":1}"));
        assert_eq!(told(&mut answers, "get", json!({ "a": 10 })), fixture("large"));
        assert_eq!(told(&mut answers, "list", json!(null)), journal("[]"));
        assert_eq!(told(&mut answers, "list", json!({})), None);
        assert_eq!(told(&mut answers, "put", json!({})), None);
    }

    #[test]
    fn what_is_ignored_does_not_count() {
        let case = case(json!({
            "answers": [
                { "tool": "get", "arguments": { "a": 1, "at": "x" }, "nth": 1, "content": "first" },
                { "tool": "get", "arguments": { "a": 1, "at": "y" }, "nth": 1, "content": "second" },
            ],
            "ignore": { "get": ["/at"] },
        }));
        let mut answers = Answers::of(&case);
        for expected in ["first", "second"] {
            let answer = told(&mut answers, "get", json!({ "a": 1, "at": expected }));
            assert_eq!(answer, Some((expected.to_owned(), Answered::Journal)));
        }
        assert_eq!(told(&mut answers, "get", json!({ "a": 1 })), None);
    }
}
