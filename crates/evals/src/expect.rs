//! What is expected of a run, as it is written.

use std::fmt;
use std::sync::Arc;

use regex::Regex;
use schemas::{Budget, Schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::matcher::{self, Matcher};
use crate::pattern::Pattern;

/// What is expected of a run; what is left out is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How it ends: an ending, or the code of its error. `ok` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Calls that are made, each so often.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallExpectation>,
    /// Calls that are not made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_calls: Vec<CallExpectation>,
    /// Tools that are called in this order, others in between.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Pattern>,
    /// Tools of which a call is refused, by a rule or by a schema.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Pattern>,
    /// The reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<TextExpectation>,
    /// The system prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<TextExpectation>,
    /// The reply is JSON of this schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSchema>,
    /// The most that it costs, US dollars.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "not_negative")]
    pub max_cost_usd: Option<f64>,
    /// The most tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// The most turns of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// The longest that it takes, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ms: Option<u64>,
    /// What a model thinks of the reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSpec>,
}

fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<f64>::deserialize(deserializer)? {
        Some(number) if !number.is_finite() || number < 0.0 => {
            Err(D::Error::custom("must not be negative"))
        }
        number => Ok(number),
    }
}

/// A call that is expected: a tool, or with arguments and how often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallExpectation {
    /// The tool.
    pub tool: Pattern,
    /// What its arguments are like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Matcher>,
    /// How often at least; once when absent.
    #[serde(skip_serializing_if = "is_one")]
    pub min: u32,
    /// How often at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    tool: Pattern,
    #[serde(default)]
    arguments: Option<Matcher>,
    #[serde(default)]
    min: Option<u32>,
    #[serde(default)]
    max: Option<u32>,
}

impl<'de> Deserialize<'de> for CallExpectation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = CallExpectation;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a tool, or {tool, arguments, min, max}")
            }
            fn visit_str<E: serde::de::Error>(self, tool: &str) -> Result<Self::Value, E> {
                let tool = Pattern::from(tool);
                Ok(CallExpectation { tool, arguments: None, min: 1, max: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let written = WrittenCall::deserialize(MapAccessDeserializer::new(map))?;
                let WrittenCall { tool, arguments, min, max } = written;
                // What may be made no more than never need not be made once.
                let min = min.unwrap_or_else(|| max.map_or(1, |max| max.min(1)));
                if max.is_some_and(|max| max < min) {
                    return Err(A::Error::custom("max is less than min"));
                }
                Ok(CallExpectation { tool, arguments, min, max })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// What a text has to be like.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextExpectation {
    /// It has each of these.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub contains: Texts,
    /// It has none of these.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub not_contains: Texts,
    /// Each of these regular expressions finds something in it.
    #[serde(skip_serializing_if = "Expressions::is_empty")]
    pub matches: Expressions,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

impl Texts {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = items.next_element::<String>()? {
                    all.push(text);
                }
                Ok(Texts(all))
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// Regular expressions, written like [`Texts`].
#[derive(Debug, Clone, Default)]
pub struct Expressions(pub(crate) Vec<Regex>);

impl Expressions {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn written(&self) -> Texts {
        Texts(self.0.iter().map(|regex| regex.as_str().to_owned()).collect())
    }
}

impl PartialEq for Expressions {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}

impl Serialize for Expressions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Expressions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Texts::deserialize(deserializer)?.0;
        let read = all.iter().map(|text| matcher::regex(text)).collect::<Result<_, _>>();
        read.map(Self).map_err(D::Error::custom)
    }
}

/// A JSON Schema of the reply, compiled.
#[derive(Debug, Clone)]
pub struct OutputSchema {
    written: Value,
    pub(crate) schema: Arc<Schema>,
}

impl OutputSchema {
    /// As it was written.
    pub fn written(&self) -> &Value {
        &self.written
    }

    /// Compiles a schema.
    ///
    /// # Errors
    /// When it is none, or a part of it could not be checked.
    pub fn new(written: Value) -> Result<Self, String> {
        if !written.is_object() {
            return Err("output must be a JSON Schema: an object".to_owned());
        }
        let compiled = Schema::compile(&written, &mut Budget::strict());
        let compiled =
            compiled.map_err(|why| format!("output is not a usable JSON Schema: it {why}"))?;
        match compiled.unchecked.first() {
            Some(what) => Err(format!("output is not a usable JSON Schema: {what}")),
            None => Ok(Self { written, schema: Arc::new(compiled.schema) }),
        }
    }
}

impl PartialEq for OutputSchema {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written
    }
}

impl Serialize for OutputSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OutputSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A model that judges the reply.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSpec {
    /// What a good reply is like.
    pub rubric: String,
    /// The model; the default one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The least score, 0 to 1.
    #[serde(default = "least", deserialize_with = "score")]
    pub min: f64,
}

fn least() -> f64 {
    0.7
}

fn score<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let score = f64::deserialize(deserializer)?;
    match (0.0..=1.0).contains(&score) {
        true => Ok(score),
        false => Err(D::Error::custom("min must be from 0 to 1")),
    }
}
