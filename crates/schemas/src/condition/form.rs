//! The form of a condition's schemas: which words there are, and what each is for.

use serde_json::{Map, Value, json};

use crate::{Budget, Schema};

/// Short words, and those of JSON Schema that they stand for.
const SHORT: [(&str, &str); 6] = [
    ("gt", "exclusiveMinimum"),
    ("gte", "minimum"),
    ("lt", "exclusiveMaximum"),
    ("lte", "maximum"),
    ("eq", "const"),
    ("in", "enum"),
];

/// Words that say something of a value of one kind.
const OF_KIND: [(&str, Kind); 17] = [
    ("exclusiveMinimum", Kind::Number),
    ("minimum", Kind::Number),
    ("exclusiveMaximum", Kind::Number),
    ("maximum", Kind::Number),
    ("multipleOf", Kind::Number),
    ("minLength", Kind::Text),
    ("maxLength", Kind::Text),
    ("pattern", Kind::Text),
    ("minItems", Kind::List),
    ("maxItems", Kind::List),
    ("minContains", Kind::List),
    ("maxContains", Kind::List),
    ("uniqueItems", Kind::List),
    ("minProperties", Kind::Object),
    ("maxProperties", Kind::Object),
    ("required", Kind::Object),
    ("dependentRequired", Kind::Object),
];

/// Words whose value is a schema, or several of them, and what they are for, where that is one kind only.
const INSIDE: [(&str, Option<Kind>); 15] = [
    ("additionalProperties", Some(Kind::Object)),
    ("allOf", None),
    ("anyOf", None),
    ("contains", Some(Kind::List)),
    ("dependentSchemas", Some(Kind::Object)),
    ("else", None),
    ("if", None),
    ("items", Some(Kind::List)),
    ("not", None),
    ("oneOf", None),
    ("patternProperties", Some(Kind::Object)),
    ("prefixItems", Some(Kind::List)),
    ("properties", Some(Kind::Object)),
    ("propertyNames", Some(Kind::Object)),
    ("then", None),
];

/// Words that say nothing of the value.
const NOTES: [&str; 6] = ["title", "description", "$comment", "default", "examples", "deprecated"];

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Truth,
    Number,
    Text,
    List,
    Object,
}

impl Kind {
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Truth,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// One of it, in a sentence.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Truth => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// A schema of a condition.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// `true` or `false` instead of a schema.
    pub(super) always: Option<bool>,
    /// What `type` says.
    pub(super) types: Option<Schema>,
    /// What all other words say that hold no schema.
    pub(super) plain: Option<Schema>,
    /// The words that are for values of one kind only, as they are written, each with these kinds.
    pub(super) kinds: Vec<(String, Vec<Kind>)>,
    pub(super) properties: Vec<(String, Rule)>,
    /// What properties have to be whose names fit a pattern.
    pub(super) pattern_properties: Vec<(Schema, Rule)>,
    /// What the names of properties have to be.
    pub(super) property_names: Option<Box<Rule>>,
    /// What the object has to be where it has a property.
    pub(super) dependent: Vec<(String, Rule)>,
    /// What other properties have to be.
    pub(super) additional: Option<Box<Rule>>,
    pub(super) prefix_items: Vec<Rule>,
    /// What the items after `prefixItems` have to be.
    pub(super) items: Option<Box<Rule>>,
    pub(super) contains: Option<Box<Rule>>,
    /// How many items have to be what `contains` says: from, to.
    pub(super) how_many: (Option<usize>, Option<usize>),
    pub(super) all_of: Vec<Rule>,
    pub(super) any_of: Option<Vec<Rule>>,
    pub(super) one_of: Option<Vec<Rule>>,
    pub(super) not: Option<Box<Rule>>,
    pub(super) if_then_else: Option<Box<[Rule; 3]>>,
}

impl Rule {
    /// Reads a schema; `place` is where it stands.
    pub(super) fn read(schema: &Value, place: &str) -> Result<Self, Vec<String>> {
        let words = match schema {
            Value::Bool(always) => return Ok(Self { always: Some(*always), ..Self::default() }),
            Value::Object(words) => words,
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                let text = format!("{place}: must be an object, such as {{\"eq\": {schema}}}");
                return Err(vec![text]);
            }
        };
        let words = spelled_out(words, place)?;
        let mut rule = Self::default();
        let (mut plain, mut problems) = (Map::new(), Vec::new());
        for (word, written, value) in &words {
            if let Some((_, kind)) = OF_KIND.iter().find(|(known, _)| known == word) {
                rule.kinds.push((written.clone(), vec![*kind]));
                plain.insert(word.clone(), value.clone());
                rule.count(word, value, &format!("{place}.{written}"), &mut problems);
            } else if word == "type" {
                rule.types = compiled("type", value, place).map_err(|why| problems.push(why)).ok();
            } else if word == "const" {
                rule.kinds.push((written.clone(), vec![Kind::of(value)]));
                plain.insert(word.clone(), value.clone());
            } else if word == "enum" {
                match value.as_array().filter(|values| !values.is_empty()) {
                    Some(values) => {
                        rule.kinds.push((written.clone(), values.iter().map(Kind::of).collect()));
                        plain.insert(word.clone(), value.clone());
                    }
                    None => problems.push(format!("{place}.{written}: must be a list of values")),
                }
            } else if let Some((_, kind)) = INSIDE.iter().find(|(known, _)| known == word) {
                rule.kinds.extend(kind.map(|kind| (written.clone(), vec![kind])));
                rule.read_inside(word, value, &format!("{place}.{word}"), &mut problems);
            }
        }
        rule.read_condition(&words, place, &mut problems);
        if !plain.is_empty() {
            let plain = Value::Object(plain);
            rule.plain = compile(&plain, place).map_err(|why| problems.push(why)).ok();
        }
        if problems.is_empty() { Ok(rule) } else { Err(problems) }
    }

    fn read_inside(&mut self, word: &str, value: &Value, place: &str, problems: &mut Vec<String>) {
        let mut one = |value: &Value| {
            let read = Self::read(value, place).map_err(|wrong| problems.extend(wrong));
            Some(Box::new(read.ok()?))
        };
        match word {
            "not" => self.not = one(value),
            "items" => self.items = one(value),
            "contains" => self.contains = one(value),
            "additionalProperties" => self.additional = one(value),
            "propertyNames" => self.property_names = one(value),
            "properties" => self.properties = named(value, place, problems),
            "dependentSchemas" => self.dependent = named(value, place, problems),
            "patternProperties" => {
                for (pattern, rule) in named(value, place, problems) {
                    match compiled("pattern", &Value::String(pattern), place) {
                        Ok(pattern) => self.pattern_properties.push((pattern, rule)),
                        Err(why) => problems.push(why),
                    }
                }
            }
            "allOf" => self.all_of = many(value, place, problems),
            "anyOf" => self.any_of = Some(many(value, place, problems)),
            "oneOf" => self.one_of = Some(many(value, place, problems)),
            "prefixItems" => self.prefix_items = many(value, place, problems),
            // `if`, `then` and `else` are read together.
            _ => {}
        }
    }

    /// Takes up how many items have to be what `contains` says.
    fn count(&mut self, word: &str, value: &Value, place: &str, problems: &mut Vec<String>) {
        let number = match word {
            "minContains" => &mut self.how_many.0,
            "maxContains" => &mut self.how_many.1,
            _ => return,
        };
        *number = value.as_u64().and_then(|number| number.try_into().ok());
        if number.is_none() {
            problems.push(format!("{place}: must be a whole number"));
        }
    }

    /// Reads `if`, `then`, `else`.
    fn read_condition(
        &mut self,
        words: &[(String, String, Value)],
        place: &str,
        problems: &mut Vec<String>,
    ) {
        let mut part = |name: &str| {
            let (.., value) = words.iter().find(|(word, ..)| word == name)?;
            let read = Self::read(value, &format!("{place}.{name}"));
            read.map_err(|wrong| problems.extend(wrong)).ok()
        };
        let (condition, then, otherwise) = (part("if"), part("then"), part("else"));
        if condition.is_none() && (then.is_some() || otherwise.is_some()) {
            return problems.push(format!("{place}: has then or else without if"));
        }
        let Some(condition) = condition else { return };
        let any = || Self { always: Some(true), ..Self::default() };
        let parts = [condition, then.unwrap_or_else(any), otherwise.unwrap_or_else(any)];
        self.if_then_else = Some(Box::new(parts));
    }
}

/// Schemas by names.
fn named(value: &Value, place: &str, problems: &mut Vec<String>) -> Vec<(String, Rule)> {
    let Some(named) = value.as_object() else {
        problems.push(format!("{place}: must be an object of schemas"));
        return Vec::new();
    };
    let mut rules = Vec::with_capacity(named.len());
    for (name, value) in named {
        match Rule::read(value, &format!("{place}.{name}")) {
            Ok(rule) => rules.push((name.clone(), rule)),
            Err(wrong) => problems.extend(wrong),
        }
    }
    rules
}

/// A list of schemas.
fn many(value: &Value, place: &str, problems: &mut Vec<String>) -> Vec<Rule> {
    let Some(schemas) = value.as_array().filter(|schemas| !schemas.is_empty()) else {
        problems.push(format!("{place}: must be a list of schemas"));
        return Vec::new();
    };
    let rules =
        schemas.iter().enumerate().map(|(at, schema)| Rule::read(schema, &format!("{place}.{at}")));
    rules.filter_map(|rule| rule.map_err(|wrong| problems.extend(wrong)).ok()).collect()
}

/// The words of a schema: in JSON Schema, and as they are written.
fn spelled_out(
    words: &Map<String, Value>,
    place: &str,
) -> Result<Vec<(String, String, Value)>, Vec<String>> {
    let mut out: Vec<(String, String, Value)> = Vec::with_capacity(words.len());
    let mut problems = Vec::new();
    for (written, value) in words {
        let long = SHORT.iter().find(|(short, _)| short == written).map(|(_, long)| *long);
        let word = long.unwrap_or(written);
        let is_known = long.is_some()
            || ["type", "const", "enum"].contains(&word)
            || OF_KIND.iter().any(|(known, _)| *known == word)
            || INSIDE.iter().any(|(known, _)| *known == word)
            || NOTES.contains(&word);
        if !is_known {
            problems.push(format!("{place}: {}", unknown(written)));
        } else if let Some((_, other, _)) = out.iter().find(|(known, ..)| known == word) {
            problems.push(format!("{place}: {other} and {written} say the same; leave one out"));
        } else {
            out.push((word.to_owned(), written.clone(), value.clone()));
        }
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

/// What is said of a word that is not known.
fn unknown(word: &str) -> String {
    if word == "format" {
        return "format only describes a value and is never checked; use pattern".to_owned();
    }
    let short: String = word.chars().take(60).collect();
    let known = SHORT.iter().map(|(word, _)| *word).chain(["type", "const", "enum"]);
    let known = known
        .chain(OF_KIND.iter().map(|(word, _)| *word))
        .chain(INSIDE.iter().map(|(word, _)| *word));
    let near = known.map(|known| (strsim::jaro_winkler(known, &short), known));
    let near = near.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(near, _)| *near > 0.75);
    match near {
        Some((_, near)) => format!("unknown word {short:?}; did you mean {near:?}?"),
        None => format!(
            "unknown word {short:?}; there are gt, gte, lt, lte, eq, in, and JSON Schema's but for $ref, format and unevaluated…"
        ),
    }
}

/// A schema of one word.
fn compiled(word: &str, value: &Value, place: &str) -> Result<Schema, String> {
    compile(&json!({ word: value }), place)
}

fn compile(schema: &Value, place: &str) -> Result<Schema, String> {
    let compiled = Schema::compile(schema, &mut Budget::strict());
    let compiled = compiled.map_err(|why| format!("{place}: {why}"))?;
    match compiled.unchecked.first() {
        None => Ok(compiled.schema),
        Some(what) => Err(format!("{place}: {what}")),
    }
}
