//! What a value has to be like: objects in the fields that are named, arrays as a whole, everything else
//! exactly, and operators in place of a value.

use regex::Regex;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::json::equal;

/// The largest regular expression, as the engine counts it, bytes.
const MAX_REGEX: usize = 1 << 20;

/// The operators.
const OPERATORS: &str = "$any, $absent, $regex, $in, $gte and $lte";

/// A checked matcher.
#[derive(Debug, Clone)]
pub struct Matcher {
    written: Value,
    rule: Rule,
}

#[derive(Debug, Clone)]
enum Rule {
    Equal(Value),
    Fields(Vec<(String, Rule)>),
    Whole(Vec<Rule>),
    Any,
    Absent,
    /// All of these.
    All(Vec<Test>),
}

#[derive(Debug, Clone)]
enum Test {
    Regex(Regex),
    In(Vec<Rule>),
    AtLeast(Value),
    AtMost(Value),
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Matcher {
    /// Reads a matcher.
    ///
    /// # Errors
    /// What is wrong with an operator.
    pub fn new(written: Value) -> Result<Self, String> {
        Ok(Self { rule: rule(&written)?, written })
    }

    /// As it was written.
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Whether a value is like this.
    pub fn fits(&self, value: &Value) -> bool {
        fits(&self.rule, Some(value))
    }
}

/// Reads a regular expression of bounded size.
pub(crate) fn regex(text: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(text).size_limit(MAX_REGEX).build();
    built.map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("{text:?} is not a regular expression: {why}")
    })
}

fn rule(written: &Value) -> Result<Rule, String> {
    match written {
        Value::Object(fields) => object(fields),
        Value::Array(items) => items.iter().map(rule).collect::<Result<_, _>>().map(Rule::Whole),
        Value::String(text) if text == "$any" => Ok(Rule::Any),
        Value::String(text) if text == "$absent" => Ok(Rule::Absent),
        plain => Ok(Rule::Equal(plain.clone())),
    }
}

fn object(fields: &Map<String, Value>) -> Result<Rule, String> {
    let operators = fields.keys().filter(|name| name.starts_with('$')).count();
    if operators == 0 {
        let read = fields.iter().map(|(name, field)| Ok((name.clone(), rule(field)?)));
        return read.collect::<Result<_, String>>().map(Rule::Fields);
    }
    if operators < fields.len() {
        return Err("operators and fields stand in one object".to_owned());
    }
    if let (1, Some((name, wanted))) = (fields.len(), fields.iter().next())
        && matches!(name.as_str(), "$any" | "$absent")
    {
        return match (name.as_str(), wanted) {
            ("$any", Value::Bool(true) | Value::Null) => Ok(Rule::Any),
            ("$absent", Value::Bool(true) | Value::Null) => Ok(Rule::Absent),
            _ => Err(format!("{name} must be true")),
        };
    }
    let tests = fields.iter().map(|(name, wanted)| test(name, wanted));
    tests.collect::<Result<_, _>>().map(Rule::All)
}

fn test(name: &str, wanted: &Value) -> Result<Test, String> {
    match (name, wanted) {
        ("$regex", Value::String(text)) => regex(text).map(Test::Regex),
        ("$regex", _) => Err("$regex must be a text".to_owned()),
        ("$in", Value::Array(items)) => {
            items.iter().map(rule).collect::<Result<_, _>>().map(Test::In)
        }
        ("$in", _) => Err("$in must be a list".to_owned()),
        ("$gte" | "$lte", Value::Number(_) | Value::String(_)) => Ok(match name {
            "$gte" => Test::AtLeast(wanted.clone()),
            _ => Test::AtMost(wanted.clone()),
        }),
        ("$gte" | "$lte", _) => Err(format!("{name} must be a number or a text")),
        ("$any" | "$absent", _) => Err(format!("{name} stands alone")),
        _ => Err(format!("{name} is no operator; there are {OPERATORS}")),
    }
}

fn fits(rule: &Rule, value: Option<&Value>) -> bool {
    let Some(value) = value else { return may_be_absent(rule) };
    match rule {
        Rule::Any => true,
        Rule::Absent => false,
        Rule::Equal(wanted) => equal(wanted, value),
        Rule::Whole(wanted) => value.as_array().is_some_and(|items| {
            items.len() == wanted.len()
                && wanted.iter().zip(items).all(|(wanted, item)| fits(wanted, Some(item)))
        }),
        Rule::Fields(wanted) => value
            .as_object()
            .is_some_and(|fields| wanted.iter().all(|(name, rule)| fits(rule, fields.get(name)))),
        Rule::All(tests) => tests.iter().all(|test| holds(test, value)),
    }
}

/// Whether a field that is not there is like this.
fn may_be_absent(rule: &Rule) -> bool {
    match rule {
        Rule::Absent => true,
        Rule::All(tests) => tests.iter().all(|test| match test {
            Test::In(all) => all.iter().any(may_be_absent),
            Test::Regex(_) | Test::AtLeast(_) | Test::AtMost(_) => false,
        }),
        Rule::Equal(_) | Rule::Fields(_) | Rule::Whole(_) | Rule::Any => false,
    }
}

fn holds(test: &Test, value: &Value) -> bool {
    match test {
        Test::Regex(regex) => value.as_str().is_some_and(|text| regex.is_match(text)),
        Test::In(all) => all.iter().any(|one| fits(one, Some(value))),
        Test::AtLeast(bound) => ordered(bound, value),
        Test::AtMost(bound) => ordered(value, bound),
    }
}

/// Whether one value is not above another one of its kind.
fn ordered(low: &Value, high: &Value) -> bool {
    match (low, high) {
        (Value::Number(low), Value::Number(high)) => match (low.as_i64(), high.as_i64()) {
            (Some(low), Some(high)) => low <= high,
            _ => low.as_f64() <= high.as_f64(),
        },
        (Value::String(low), Value::String(high)) => low <= high,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_like_its_matcher_or_not() {
        for (matcher, value, expected) in [
            (json!({ "a": 1 }), json!({ "a": 1.0, "b": 2 }), true),
            (json!({ "a": { "b": "x" } }), json!({ "a": { "b": "x", "c": 1 } }), true),
            (json!({ "a": 1 }), json!({ "b": 1 }), false),
            (json!({}), json!({ "a": 1 }), true),
            (json!({}), json!([]), false),
            (json!([1, { "a": 2 }]), json!([1, { "a": 2, "b": 3 }]), true),
            (json!([1]), json!([1, 2]), false),
            (json!({ "a": { "$any": true } }), json!({ "a": null }), true),
            (json!({ "a": "$any" }), json!({}), false),
            (json!({ "a": { "$absent": true } }), json!({ "b": 1 }), true),
            (json!({ "a": { "$absent": true } }), json!({ "a": null }), false),
            (json!({ "a": { "$regex": "^x+$" } }), json!({ "a": "xxx" }), true),
            (json!({ "a": { "$regex": "x" } }), json!({ "a": 1 }), false),
            (json!({ "$in": [1, "two", { "$regex": "^t" }] }), json!("three"), true),
            (json!({ "$in": [1, 2] }), json!(2.0), true),
            (json!({ "a": { "$in": [1, { "$absent": true }] } }), json!({}), true),
            (json!({ "a": { "$in": [1, 2] } }), json!({}), false),
            (json!({ "$in": [1, 2] }), json!(3), false),
            (json!({ "$gte": 1, "$lte": 3 }), json!(2.5), true),
            (json!({ "$gte": 1, "$lte": 3 }), json!(3), true),
            (json!({ "$gte": 1 }), json!(0.9), false),
            (json!({ "$gte": "2026-01-01" }), json!("2026-05-01"), true),
            (json!({ "$gte": 1 }), json!("2"), false),
            (json!(null), json!(null), true),
            (json!("a"), json!("A"), false),
        ] {
            let read = Matcher::new(matcher.clone()).unwrap();
            assert_eq!(read.fits(&value), expected, "{matcher} {value}");
        }
    }

    #[test]
    fn a_wrong_operator_is_told() {
        for (matcher, told) in [
            (json!({ "$like": 1 }), "$like is no operator"),
            (json!({ "a": { "$regex": "(" } }), "is not a regular expression"),
            (json!({ "$regex": 1 }), "$regex must be a text"),
            (json!({ "$in": 1 }), "$in must be a list"),
            (json!({ "$gte": null }), "$gte must be a number"),
            (json!({ "$any": true, "$gte": 1 }), "$any stands alone"),
            (json!({ "$any": 1 }), "$any must be true"),
            (json!({ "$any": true, "b": 1 }), "operators and fields"),
        ] {
            let error = Matcher::new(matcher.clone()).unwrap_err();
            assert!(error.contains(told), "{matcher}: {error}");
        }
    }
}
