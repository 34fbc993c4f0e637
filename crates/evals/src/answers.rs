//! What answers a replayed call: what the run's journal has, else the first fitting fixture.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::cases::{Case, Fixture, RecordedAnswer};
use crate::json::{canonical, without};
use crate::report::Answered;

/// What a case has on a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// An answer.
    Given {
        /// Whether the call succeeded.
        ok: bool,
        /// What was answered.
        content: String,
        /// Where it comes from.
        from: Answered,
        /// Whether it is made without the approval that the journal has it wait for.
        unasked: bool,
    },
    /// The call waits for a person, as it did.
    Waits,
}

/// The answers of a case, which remember what they have been asked.
#[derive(Debug)]
pub struct Answers {
    recorded: HashMap<String, HashMap<usize, Recorded>>,
    fixtures: Vec<Fixture>,
    ignore: BTreeMap<String, Vec<String>>,
    seen: HashMap<String, usize>,
    may_wait: bool,
}

#[derive(Debug)]
struct Recorded {
    ok: bool,
    /// None for a call that waits.
    content: Option<String>,
    /// Whether a person had to approve it.
    approval: bool,
}

/// A call as answers are looked up for it.
#[derive(Debug, Clone, Copy)]
pub struct AskedCall<'a> {
    /// The tool that the model has called.
    pub tool: &'a str,
    /// Its arguments.
    pub arguments: &'a Value,
    /// The tool that is meant, and its arguments: another one where a person is asked for it.
    pub meant: (&'a str, &'a Value),
    /// The method and path that it calls.
    pub endpoint: Option<&'a str>,
    /// Whether a person has to approve it.
    pub needs_approval: bool,
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
        let mut written: HashMap<String, Vec<&RecordedAnswer>> = HashMap::new();
        for answer in &case.answers {
            let ignored = case.ignore.get(&answer.tool).map_or(&[][..], Vec::as_slice);
            let key = key_of(&answer.tool, &answer.arguments, ignored);
            written.entry(key).or_default().push(answer);
        }
        let recorded = written.into_iter().map(|(key, all)| (key, in_order(&all))).collect();
        let says_which = case.answers.iter().any(|answer| answer.content.is_null());
        let waits =
            matches!(case.expect.status.as_deref(), Some("awaiting_approval" | "awaiting_answer"));
        Self {
            recorded,
            fixtures: case.fixtures.clone(),
            ignore: case.ignore.clone(),
            seen: HashMap::new(),
            may_wait: waits && !says_which,
        }
    }

    /// Whether there is an answer to any call of just this tool.
    pub fn has_any(&self, tool: &str) -> bool {
        let is_of = |key: &String| key.split_once('\n').is_some_and(|(name, _)| name == tool);
        self.recorded.keys().any(is_of)
            || self.fixtures.iter().any(|fixture| fixture.tool.names(tool))
    }

    /// What there is on the next call. No fixture approves a call.
    pub fn next(&mut self, call: AskedCall<'_>) -> Option<Answer> {
        let ignored = self.ignore.get(call.tool).map_or(&[][..], Vec::as_slice);
        let key = key_of(call.tool, call.arguments, ignored);
        let nth = self.seen.entry(key.clone()).or_default();
        *nth += 1;
        let of_journal = self.recorded.get(&key).and_then(|all| all.get(nth));
        match of_journal {
            Some(Recorded { ok, content: Some(content), approval }) => {
                let (ok, content) = (*ok, content.clone());
                let unasked = *approval && !call.needs_approval;
                return Some(Answer::Given { ok, content, from: Answered::Journal, unasked });
            }
            Some(Recorded { content: None, .. }) => {
                return call.needs_approval.then_some(Answer::Waits);
            }
            None => {}
        }
        if !call.needs_approval
            && let Some(fixture) = self.fixtures.iter().find(|fixture| is_for(fixture, call))
        {
            let content = text(&fixture.content);
            let (ok, from) = (fixture.ok, Answered::Fixture);
            return Some(Answer::Given { ok, content, from, unasked: false });
        }
        (call.needs_approval && self.may_wait).then_some(Answer::Waits)
    }

    /// What there is on a question to a person: as on any call, but where nobody answers, it waits.
    pub fn next_question(&mut self, call: AskedCall<'_>) -> Option<Answer> {
        let given = self.next(AskedCall { needs_approval: false, ..call });
        let waits = given.is_none() && (self.may_wait || self.is_open(call));
        if waits { Some(Answer::Waits) } else { given }
    }

    /// Whether the journal has the call without an answer.
    fn is_open(&self, call: AskedCall<'_>) -> bool {
        let ignored = self.ignore.get(call.tool).map_or(&[][..], Vec::as_slice);
        let key = key_of(call.tool, call.arguments, ignored);
        let nth = self.seen.get(&key).copied().unwrap_or_default();
        let recorded = self.recorded.get(&key).and_then(|all| all.get(&nth));
        recorded.is_some_and(|recorded| recorded.content.is_none())
    }
}

fn is_for(fixture: &Fixture, call: AskedCall<'_>) -> bool {
    let named = |(tool, arguments): (&str, &Value)| {
        fixture.tool.fits(tool, call.endpoint, arguments)
            && fixture.arguments.as_ref().is_none_or(|like| like.fits(arguments))
    };
    named((call.tool, call.arguments)) || named(call.meant)
}

/// The answers to equal calls, by which of them each is for: as they say, and the others in their order. Where what is
/// ignored makes calls equal that were not, all are taken in their order.
fn in_order(all: &[&RecordedAnswer]) -> HashMap<usize, Recorded> {
    let given = |answer: &RecordedAnswer| answer.nth.and_then(|nth| usize::try_from(nth).ok());
    let mut taken: Vec<_> = all.iter().filter_map(|answer| given(answer)).collect();
    let count = taken.len();
    taken.sort_unstable();
    taken.dedup();
    let as_said = taken.len() == count;
    let mut free = (1..).filter(|nth| !as_said || !taken.contains(nth));
    let mut ordered = HashMap::with_capacity(all.len());
    for answer in all {
        let nth = given(answer).filter(|_| as_said).or_else(|| free.next()).unwrap_or_default();
        let content = Some(&answer.content).filter(|content| !content.is_null()).map(text);
        let (ok, approval) = (answer.ok, answer.approval);
        ordered.insert(nth, Recorded { ok, content, approval });
    }
    ordered
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
        match next(answers, tool, &arguments, false)? {
            Answer::Given { content, from, .. } => Some((content, from)),
            Answer::Waits => panic!("it waits"),
        }
    }

    fn next(
        answers: &mut Answers,
        tool: &str,
        arguments: &Value,
        needs_approval: bool,
    ) -> Option<Answer> {
        let meant = (tool, arguments);
        answers.next(AskedCall { tool, arguments, meant, endpoint: None, needs_approval })
    }

    #[test]
    fn it_is_known_which_tools_have_answers() {
        let recorded = json!({ "answers": [{ "tool": "read_result", "content": "x" }] });
        let written = json!({ "fixtures": [{ "tool": "read_result", "content": "x" }] });
        let any = json!({ "fixtures": [{ "tool": "*", "content": "x" }] });
        for (written, is_there) in [(recorded, true), (written, true), (any, false)] {
            let answers = Answers::of(&case(written));
            assert_eq!(
                (answers.has_any("read_result"), answers.has_any("read")),
                (is_there, false)
            );
        }
    }

    #[test]
    fn people_decide_as_the_journal_has_it() {
        let pay = json!({ "id": 7 });
        let fixtures = json!([{ "tool": "*", "content": "x" }]);
        // Nobody has decided, and no fixture does.
        let none = case(json!({ "fixtures": fixtures }));
        assert_eq!(next(&mut Answers::of(&none), "pay", &pay, true), None);
        let expects = json!({ "fixtures": fixtures, "expect": { "status": "awaiting_approval" } });
        assert_eq!(next(&mut Answers::of(&case(expects)), "pay", &pay, true), Some(Answer::Waits));
        // The journal says which call waited: no other one does, and that one is not made without asking.
        let waited = json!({
            "answers": [{ "tool": "pay", "arguments": pay, "content": null }],
            "expect": { "status": "awaiting_approval" },
        });
        let waited = case(waited);
        assert_eq!(next(&mut Answers::of(&waited), "pay", &pay, true), Some(Answer::Waits));
        assert_eq!(next(&mut Answers::of(&waited), "pay", &pay, false), None);
        assert_eq!(next(&mut Answers::of(&waited), "pay", &json!({ "id": 8 }), true), None);
    }

    #[test]
    fn what_a_person_had_to_approve_is_told_where_nobody_is_asked() {
        let answer = |approval| json!({ "tool": "pay", "content": "paid", "approval": approval });
        for (recorded, needs_approval, is_unasked) in
            [(true, true, false), (true, false, true), (false, false, false), (false, true, false)]
        {
            let case = case(json!({ "answers": [answer(recorded)] }));
            let given = next(&mut Answers::of(&case), "pay", &json!({}), needs_approval);
            let Some(Answer::Given { unasked, .. }) = given else { panic!("{given:?}") };
            assert_eq!(unasked, is_unasked, "{recorded} {needs_approval}");
        }
    }

    #[test]
    fn answers_that_say_which_call_they_are_for_come_first() {
        let case = case(json!({ "answers": [
            { "tool": "get", "nth": 2, "content": "second" },
            { "tool": "get", "content": "first" },
            { "tool": "get", "content": "third" },
        ] }));
        let mut answers = Answers::of(&case);
        for expected in ["first", "second", "third"] {
            let told = told(&mut answers, "get", json!({}));
            assert_eq!(told, Some((expected.to_owned(), Answered::Journal)));
        }
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
