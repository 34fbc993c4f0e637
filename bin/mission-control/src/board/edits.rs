//! What a person may add to an approval: other arguments, and a rule for further calls.

use std::fmt::{self, Write as _};

use chrono::{Duration, Utc};
use schemas::condition::Condition;
use serde_json::{Map, Value, json};

use super::markup::visible::{VisibleName, hides};
use super::markup::{Esc, cut};
use crate::store::waiting::Waiting;

/// For how many days a rule holds unless the person says otherwise, and at most.
const DAYS: i64 = 30;
const MOST_DAYS: i64 = 365;

/// For how many calls, unless the person says otherwise.
const CALLS: u32 = 10;

/// How many arguments are named that a rule does not limit.
const NAMED: usize = 50;

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
    let (when, unlimited) = like(&request.arguments);
    let when = Value::Object(when).to_string();
    let mut open = String::new();
    not_limited(&mut open, &unlimited)?;
    write!(
        out,
        "<details id=\"always-{id}\"><summary>Always allow such calls</summary>\
         <p>Calls of this tool that fit need no approval until that day. An argument that is not named may be \
         anything. The rule can be taken back at any time.</p>{open}\
         <p><label for=\"when-{id}\">Arguments must fit</label> \
         <span class=\"count\">gt, gte, lt, lte, eq, in; empty for any</span>\
         <textarea class=\"json\" id=\"when-{id}\" name=\"when\" rows=\"4\" spellcheck=\"false\">\n{}</textarea></p>\
         <p><label for=\"until-{id}\">Until</label> \
         <input type=\"date\" id=\"until-{id}\" name=\"until\" value=\"{}\" min=\"{}\" max=\"{}\"> \
         <label for=\"uses-{id}\">For how many calls</label> \
         <input type=\"number\" id=\"uses-{id}\" name=\"max_uses\" min=\"1\" value=\"{CALLS}\" placeholder=\"any\"></p>\
         <button name=\"decision\" value=\"always\">Approve, and always allow</button></details>",
        Esc(&spaced(&when)),
        day(DAYS),
        day(0),
        day(MOST_DAYS)
    )
}

/// A condition that only calls with these arguments fit, and the names of those that it cannot hold.
fn like(arguments: &str) -> (Map<String, Value>, Vec<String>) {
    let arguments: Map<String, Value> = serde_json::from_str(arguments).unwrap_or_default();
    let (mut when, mut unlimited) = (Map::new(), Vec::new());
    for (name, value) in arguments {
        // A dot in a condition's name leads into an object, so that it cannot stand for itself.
        if name.contains('.') {
            unlimited.push(name);
            continue;
        }
        when.insert(name.clone(), json!({ "eq": value }));
        if Condition::parse(&Value::Object(when.clone())).is_err() {
            when.remove(&name);
            unlimited.push(name);
        }
    }
    (when, unlimited)
}

/// What the condition does not say, for the person to know.
fn not_limited(out: &mut String, names: &[String]) -> fmt::Result {
    if names.is_empty() {
        return Ok(());
    }
    out.push_str("<p class=\"error\">not limited: ");
    for (at, name) in names.iter().take(NAMED).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(out, "{comma}<strong>{}</strong>", VisibleName(&cut(name.clone())))?;
    }
    if names.len() > NAMED {
        write!(out, " and {} more", names.len() - NAMED)?;
    }
    out.push_str("</p>");
    Ok(())
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
            // In a field nothing can be marked; an escape is the same text.
            if hides(c) {
                let units = &mut [0; 2];
                c.encode_utf16(units)
                    .iter()
                    .for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            } else {
                out.push(c);
            }
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
        assert_eq!(spaced("[\"a\u{202e}\u{e0041}b\"]"), "[\n  \"a\\u202e\\udb40\\udc41b\"\n]");
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parse(sent), parse(&spaced(sent)));
    }

    #[test]
    fn a_rule_holds_every_argument_of_the_call() {
        let sent = r#"{"amount":40,"to":["a","b"],"deep":{"a.b":1},"none":null,"fast":true,"a.b":2," ":3}"#;
        let (when, mut unlimited) = like(sent);
        unlimited.sort();
        assert_eq!(unlimited, [" ", "a.b"]);
        let condition = Condition::parse(&Value::Object(when)).unwrap();
        let fits = |name: &str, value: Value| {
            let mut arguments: Map<_, _> = serde_json::from_str(sent).unwrap();
            arguments.insert(name.to_owned(), value);
            condition.judge(&arguments).allows()
        };
        assert!(fits("amount", json!(40)));
        for (name, other) in [
            ("amount", json!(39)),
            ("to", json!(["a", "b", "c"])),
            ("deep", json!({ "a.b": 2 })),
            ("none", json!("x")),
            ("fast", json!(false)),
        ] {
            assert!(!fits(name, other), "{name}");
        }
        let large = json!({ "small": 1, "text": "x".repeat(10_000) }).to_string();
        assert_eq!(like(&large).1, ["text"]);
        let mut out = String::new();
        not_limited(&mut out, &["<b>".to_owned()]).unwrap();
        assert!(out.contains("not limited: <strong>&lt;b&gt;"), "{out}");
    }
}
