//! Conditions over the arguments of a call: `{argument: schema}`, for rules about who may call what.
//!
//! A rule must not be got round by an argument that its schema says nothing about, as JSON Schema has it
//! (`minimum` fits every text). So a condition has three outcomes: what is missing, or is of another type
//! than a word is for, is not clear, and then a person is asked.

mod form;
mod weigh;

use std::sync::Arc;

use serde_json::{Map, Value};

use self::form::Rule;

/// The largest condition, bytes of JSON.
pub const MAX_BYTES: usize = 8 * 1024;

/// The most arguments that a condition names.
pub const MAX_ARGUMENTS: usize = 32;

/// The deepest nesting of JSON values in a condition.
pub const MAX_DEPTH: usize = 16;

/// What a condition says of a call's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All that it asks for is so.
    Fulfilled,
    /// Something is not so.
    Unfulfilled {
        /// What, for people: `amount: 500 is greater than the maximum of 50`.
        why: String,
    },
    /// An argument is missing, or is of another type than a word of the condition is for.
    Unclear {
        /// What, for people.
        why: String,
    },
}

impl Verdict {
    /// Whether a person is asked, where the condition says when one is.
    pub fn asks(&self) -> bool {
        match self {
            Self::Fulfilled | Self::Unclear { .. } => true,
            Self::Unfulfilled { .. } => false,
        }
    }

    /// Whether the call may be made, where the condition says which calls may.
    pub fn allows(&self) -> bool {
        match self {
            Self::Fulfilled => true,
            Self::Unfulfilled { .. } | Self::Unclear { .. } => false,
        }
    }

    /// Why it is not fulfilled.
    pub fn why_not(&self) -> Option<&str> {
        match self {
            Self::Fulfilled => None,
            Self::Unfulfilled { why } | Self::Unclear { why } => Some(why),
        }
    }
}

/// A condition that was checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Condition {
    written: Arc<Value>,
    arguments: Arc<[Argument]>,
}

/// What is asked of one argument.
#[derive(Debug)]
struct Argument {
    /// As it is written.
    name: String,
    /// Its parts between the dots.
    path: Vec<String>,
    rule: Rule,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Condition {
    /// Reads a condition. One without arguments is always fulfilled.
    ///
    /// # Errors
    /// What is wrong with it, each with its place and what helps.
    pub fn parse(when: &Value) -> Result<Self, Vec<String>> {
        let Value::Object(named) = when else {
            return Err(vec![
                "must be an object of schemas by the names of arguments, such as {\"amount\": {\"lte\": 50}}"
                    .to_owned(),
            ]);
        };
        if let Some(why) = too_large(when, named.len()) {
            return Err(vec![why]);
        }
        let (mut arguments, mut problems) = (Vec::new(), Vec::new());
        for (name, schema) in named {
            let path: Vec<_> = name.split('.').map(str::to_owned).collect();
            if path.iter().any(|part| part.trim().is_empty()) {
                problems.push(format!("{name:?}: must name an argument, with dots between names"));
                continue;
            }
            match Rule::read(schema, name) {
                Ok(rule) => arguments.push(Argument { name: name.clone(), path, rule }),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { written: Arc::new(when.clone()), arguments: arguments.into() })
    }

    /// The condition as it was written.
    pub fn as_json(&self) -> &Value {
        &self.written
    }

    /// Judges the arguments of a call. What is not clear counts before what is not so: a missing argument
    /// is a matter for a person, whatever the others are.
    pub fn judge(&self, arguments: &Map<String, Value>) -> Verdict {
        let mut verdict = Verdict::Fulfilled;
        for argument in self.arguments.iter() {
            let judged = match lookup(arguments, &argument.path) {
                Some(value) => argument.rule.weigh(value, &argument.name, false),
                None => Verdict::Unclear { why: format!("{}: is missing", argument.name) },
            };
            verdict = weigh::both(verdict, judged);
        }
        verdict
    }
}

/// The value at a path.
fn lookup<'a>(arguments: &'a Map<String, Value>, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(arguments.get(first)?, |value, name| value.as_object()?.get(name))
}

/// Which limit a condition exceeds.
fn too_large(when: &Value, arguments: usize) -> Option<String> {
    let (_, depth) = crate::limits::size_of(when);
    if depth > MAX_DEPTH {
        return Some(format!("is nested {depth} levels deep; the limit is {MAX_DEPTH}"));
    }
    if arguments > MAX_ARGUMENTS {
        return Some(format!("names {arguments} arguments; the limit is {MAX_ARGUMENTS}"));
    }
    let bytes = when.to_string().len();
    (bytes > MAX_BYTES).then(|| format!("has {bytes} bytes; the limit is {MAX_BYTES}"))
}

#[cfg(test)]
mod tests;
