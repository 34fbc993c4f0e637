//! What a person may add to an approval: other arguments, and a rule for further calls.

use std::fmt::{self, Write as _};

use chrono::{Duration, Utc};
use serde_json::{Map, Value, json};

use super::markup::Esc;
use crate::store::waiting::Waiting;

/// For how many days a rule holds unless the person says otherwise, and at most.
const DAYS: i64 = 30;
const MOST_DAYS: i64 = 365;

/// The arguments to be changed, and the button that approves them so.
pub(super) fn edit(out: &mut String, request: &Waiting) -> fmt::Result {
    let id = Esc(&request.id);
    write!(
        out,
        "<details id=\"edit-{id}\"><summary>Change the arguments</summary>\
         <label for=\"arguments-{id}\">Arguments, as JSON</label>\
         <textarea class=\"json\" id=\"arguments-{id}\" name=\"arguments\" rows=\"8\" spellcheck=\"false\">\n{}</textarea>\
         <button name=\"decision\" value=\"edited\">Approve with these arguments</button></details>",
        Esc(&spaced(&request.arguments))
    )
}

/// The rule that allows further calls, and the button that approves this one with it.
pub(super) fn always(out: &mut String, request: &Waiting) -> fmt::Result {
    let id = Esc(&request.id);
    let day = |days: i64| (Utc::now() + Duration::days(days)).format("%Y-%m-%d");
    let when = Value::Object(like(&request.arguments)).to_string();
    write!(
        out,
        "<details id=\"always-{id}\"><summary>Always allow such calls</summary>\
         <p>Calls of this tool that fit need no approval until that day. The rule can be taken back at any time.</p>\
         <p><label for=\"when-{id}\">Arguments must fit</label> \
         <span class=\"count\">gt, gte, lt, lte, eq, in; empty for any</span>\
         <textarea class=\"json\" id=\"when-{id}\" name=\"when\" rows=\"4\" spellcheck=\"false\">\n{}</textarea></p>\
         <p><label for=\"until-{id}\">Until</label> \
         <input type=\"date\" id=\"until-{id}\" name=\"until\" value=\"{}\" min=\"{}\" max=\"{}\"> \
         <label for=\"uses-{id}\">For how many calls</label> \
         <input type=\"number\" id=\"uses-{id}\" name=\"max_uses\" min=\"1\" placeholder=\"any\"></p>\
         <button name=\"decision\" value=\"always\">Approve, and always allow</button></details>",
        Esc(&spaced(&when)),
        day(DAYS),
        day(0),
        day(MOST_DAYS)
    )
}

/// A condition that calls like this one fit: numbers up to these, other values the same.
fn like(arguments: &str) -> Map<String, Value> {
    let arguments: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
    let named = arguments.into_iter().filter(|(name, _)| !name.is_empty() && !name.contains('.'));
    let schemas = named.filter_map(|(name, value)| match value {
        Value::Number(_) => Some((name, json!({ "lte": value }))),
        Value::String(_) | Value::Bool(_) => Some((name, json!({ "eq": value }))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    });
    schemas.take(schemas::condition::MAX_ARGUMENTS).collect()
}

/// JSON over lines, each value as it was sent: a number keeps all its digits.
fn spaced(text: &str) -> String {
    let (mut out, mut depth, mut in_text, mut is_escaped) = (String::new(), 0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = text.chars().filter(|c| !c.is_ascii_control()).peekable();
    while let Some(c) = rest.next() {
        if in_text {
            out.push(c);
            in_text = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            '"' => {
                in_text = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while rest.next_if(|c| *c == ' ').is_some() {}
                if rest.peek().is_some_and(|next| !matches!(next, '}' | ']')) {
                    depth += 1;
                    line(&mut out, depth);
                } else {
                    out.extend(rest.next());
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_gets_lines_and_keeps_its_values() {
        let sent =
            r#"{ "a":[1,{"b" : "x, {\"y\\\": z"}],"n":12345678901234567890123, "o": {}, "l":[ ]}"#;
        let lines = "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x, {\\\"y\\\\\\\": z\"\n    }\n  ],\n  \"n\": 12345678901234567890123,\n  \"o\": {},\n  \"l\": []\n}";
        assert_eq!(spaced(sent), lines);
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(sent), parse(&spaced(sent)));
    }

    #[test]
    fn calls_like_this_one_fit() {
        let arguments = r#"{"amount":40,"order":"o1","deep":{"a":1},"a.b":2,"fast":true}"#;
        let when = like(arguments);
        assert_eq!(
            Value::Object(when.clone()),
            json!({ "amount": { "lte": 40 }, "order": { "eq": "o1" }, "fast": { "eq": true } })
        );
        let condition = schemas::condition::Condition::parse(&Value::Object(when)).unwrap();
        let arguments: Map<_, _> = serde_json::from_str(arguments).unwrap();
        assert!(condition.judge(&arguments).allows());
    }
}
