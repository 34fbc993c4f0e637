//! Parameters and schemas that a model has refused. The request is repeated without them, and when
//! that succeeds, it is remembered for the life of the process.
//!
//! Only what the provider names counts: the parameter in its error (`param`, `loc`, `field`), or the
//! table's meaning of it. Words do not: tools, fields and messages have names, too.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::error::LlmErrorKind;
use crate::model::ModelRef;
use crate::provider::failure::{Failure, Meaning};
use crate::request::LlmRequest;

/// The most models that are remembered: callers may name any model.
const MAX_MODELS: usize = 1_000;

/// The lowest output limit that is taken for a model's own, tokens.
const LEAST_LIMIT: u64 = 1_024;

/// The places of the output limit in the bodies of requests.
const LIMITS: [&str; 4] = [
    "/max_tokens",
    "/max_completion_tokens",
    "/max_output_tokens",
    "/generationConfig/maxOutputTokens",
];

/// The words before the highest output limit in a refusal.
const BEFORE_LIMIT: &[&str] =
    &["at most ", "less than or equal to ", "(inclusive) to ", " > ", "<= ", "up to "];

/// How requests to a model are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a refusal of its own")]
pub(super) struct Quirks {
    /// It refuses a temperature, as reasoning models do.
    pub(super) no_temperature: bool,
    /// The only name of the output limit that it knows.
    pub(super) limit_name: Option<LimitName>,
    /// It refuses some keyword in the tools' schemas.
    pub(super) plain_schemas: bool,
    /// It refuses a schema of the answer.
    pub(super) no_answer_schema: bool,
    /// It takes a schema of the answer only beside `json_object`, as llama-cpp-python does.
    schema_of_object: bool,
    /// It reads the schema of the answer only where Chat Completions have it, as llama.cpp's Responses
    /// do.
    pub(super) schema_of_chat: bool,
    /// It refuses `stream_options`.
    no_stream_options: bool,
    /// It refuses a turn of the model with calls and without a text, unless that is an empty one.
    pub(super) no_null_content: bool,
    /// It refuses `tool_choice`.
    no_tool_choice: bool,
    /// It refuses the thoughts of this conversation; for this request only.
    pub(super) no_thoughts: bool,
    /// It refuses the images or documents of this conversation; for this request only.
    pub(super) no_media: bool,
    /// Its streams are empty: the whole answer is asked for; for this request only.
    pub(super) is_whole: bool,
    /// It refuses a higher output limit than this.
    output_limit: Option<u64>,
    /// As `output_limit`, for this request only: what the conversation leaves of the context window.
    output_left: Option<u64>,
}

impl Quirks {
    /// What of a request is left out or changed, for the log.
    fn in_words(&self) -> String {
        let limit = self.output_limit.map(|most| format!("at most {most} output tokens"));
        let name = self.limit_name.map(|name| format!("output limit as {}", name.as_str()));
        let left = self.output_left.map(|most| format!("{most} output tokens this time"));
        let words = [
            (self.no_temperature, "no temperature"),
            (self.plain_schemas, "tool schemas in plain words"),
            (self.no_answer_schema, "no schema of the answer"),
            (self.schema_of_object, "schema of the answer beside json_object"),
            (self.schema_of_chat, "schema of the answer as in Chat Completions"),
            (self.no_stream_options, "no stream_options"),
            (self.no_null_content, "empty text instead of null"),
            (self.no_tool_choice, "no tool_choice"),
            (self.no_thoughts, "no earlier thoughts this time"),
            (self.no_media, "no images and documents this time"),
            (self.is_whole, "no streaming this time"),
        ];
        let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word.to_owned());
        words.chain(name).chain(limit).chain(left).collect::<Vec<_>>().join(", ")
    }
}

/// The names of the output limit in Chat Completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitName {
    MaxTokens,
    MaxCompletionTokens,
}

impl LimitName {
    /// The name in a request.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

impl Quirks {
    /// The quirks after a refused request; `None` when it was refused for another reason, or for one
    /// that these quirks should have removed.
    pub(super) fn after(self, request: &LlmRequest, failure: &Failure) -> Option<Self> {
        let meaning = failure.meaning()?;
        let has_media = !self.no_media && request.messages.iter().any(|m| !m.media().is_empty());
        // Nothing but files makes a request that large, and what the table does not know may be of them.
        let is_of_media = match failure.status {
            Some(413) => true,
            Some(400 | 415 | 422) if meaning == Meaning::Unknown => true,
            _ => meaning == Meaning::MediaRefused,
        };
        if has_media && is_of_media {
            return Some(Self { no_media: true, ..self });
        }
        // llama.cpp refuses schemas with 500, too, and llama-cpp-python everything.
        let is_refusal = match failure.status {
            Some(400..=499) => true,
            Some(500) if meaning == Meaning::ParameterRefused && failure.param().is_some() => true,
            _ => meaning == Meaning::ToolSchemaRefused || meaning == Meaning::AnswerSchemaRefused,
        };
        if failure.kind != LlmErrorKind::InvalidRequest || !is_refusal {
            return None;
        }
        let mut more = self;
        let param = failure.param().map(parameter).unwrap_or_default();
        // A refused value of these is for the operator to mend: only the parameter itself is left out.
        let is_refused = |name: &str| match meaning {
            Meaning::ParameterRefused => param == name || param.is_empty() && names(failure, name),
            Meaning::AnswerSchemaRefused | Meaning::ToolSchemaRefused | Meaning::Malformed => {
                param == name
            }
            _ => false,
        };
        if request.temperature.is_some() && is_refused("temperature") {
            more.no_temperature = true;
        }
        if meaning == Meaning::ThoughtsRefused {
            more.no_thoughts = true;
        }
        if is_refused("stream_options") {
            more.no_stream_options = true;
        }
        if is_refused_content(failure, meaning) {
            more.no_null_content = true;
        }
        if is_refused("tool_choice") {
            more.no_tool_choice = true;
        }
        if request.response_schema.is_some()
            && (meaning == Meaning::AnswerSchemaRefused
                || meaning == Meaning::ToolSchemaRefused && request.tools.is_empty()
                || ["response_format", "text", "output_format", "output_config"]
                    .into_iter()
                    .any(is_refused))
        {
            let takes_objects = failure.says("'text' or 'json_object'");
            more.schema_of_object = takes_objects && !self.schema_of_object;
            more.no_answer_schema = !more.schema_of_object;
        }
        let is_tool_schema = failure.param().is_some_and(is_schema_of_tool);
        if !request.tools.is_empty() && (meaning == Meaning::ToolSchemaRefused || is_tool_schema) {
            more.plain_schemas = true;
        }
        if let Some(asked) = request.max_output_tokens.map(u64::from) {
            more.limit(asked, &is_refused, failure);
        }
        // No file fails a run.
        more.no_media |= has_media && more == self;
        (more != self).then_some(more)
    }

    /// Learns from a refused output limit: its name, or the highest value.
    fn limit(&mut self, asked: u64, is_refused: &impl Fn(&str) -> bool, failure: &Failure) {
        let names = ["max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens"];
        if !names.into_iter().any(is_refused) {
            return;
        }
        // "Unsupported parameter: 'max_tokens' … Use 'max_completion_tokens' instead."
        if failure.says("use 'max_completion_tokens'") {
            self.limit_name = Some(LimitName::MaxCompletionTokens);
            return;
        }
        if is_refused("max_completion_tokens") && failure.numbers().is_empty() {
            self.limit_name = Some(LimitName::MaxTokens);
            return;
        }
        let numbers = failure.numbers();
        if let [_, window, input, ..] = numbers[..]
            && failure
                .says("maximum context length is # tokens and your request has # input tokens")
        {
            self.output_left = window.checked_sub(input).filter(|left| *left > 0);
            return;
        }
        // Only a lower limit than the one that was sent makes a difference.
        let known = [self.output_limit, self.output_left];
        let sent = known.into_iter().flatten().fold(asked, u64::min);
        let named = failure.number_after(BEFORE_LIMIT).filter(|limit| *limit < sent);
        let highest = || numbers.into_iter().filter(|limit| *limit < sent).max();
        if let Some(limit) = named.or_else(highest).filter(|limit| *limit > 0) {
            let is_beyond = failure.says("# (exclusive)");
            let limit = limit - u64::from(is_beyond);
            // What depends on the prompt or the minute is not the model's limit, and neither is a
            // limit that no model has.
            let is_of_model = limit >= LEAST_LIMIT
                && !["context", "prompt", "minute", "budget"].iter().any(|word| failure.says(word));
            let kept = if is_of_model { &mut self.output_limit } else { &mut self.output_left };
            *kept = Some(limit);
        }
    }

    /// What both know of a model, without what holds for one request only.
    fn with(self, other: Self) -> Self {
        let limits = [self.output_limit, other.output_limit];
        Self {
            no_temperature: self.no_temperature || other.no_temperature,
            limit_name: other.limit_name.or(self.limit_name),
            plain_schemas: self.plain_schemas || other.plain_schemas,
            no_answer_schema: self.no_answer_schema || other.no_answer_schema,
            schema_of_object: self.schema_of_object || other.schema_of_object,
            schema_of_chat: self.schema_of_chat || other.schema_of_chat,
            no_stream_options: self.no_stream_options || other.no_stream_options,
            no_null_content: self.no_null_content || other.no_null_content,
            no_tool_choice: self.no_tool_choice || other.no_tool_choice,
            no_thoughts: false,
            no_media: false,
            is_whole: false,
            output_limit: limits.into_iter().flatten().min(),
            output_left: None,
        }
    }

    /// Removes from a request's body what the model refuses.
    pub(super) fn trim(&self, body: &mut Value) {
        if self.is_whole && body.get("stream").is_some() {
            body["stream"] = false.into();
        }
        if self.no_stream_options || self.is_whole {
            remove(body, "", "stream_options");
        }
        if self.no_tool_choice {
            remove(body, "", "tool_choice");
        }
        if self.schema_of_chat
            && let Some(format) = body.pointer("/text/format").cloned()
        {
            body["response_format"] = json!({ "type": "json_schema", "json_schema": format });
        }
        if self.no_answer_schema {
            remove(body, "", "response_format");
            remove(body, "", "output_config");
            remove(body, "", "output_format");
            remove(body, "/text", "format");
            for name in ["responseSchema", "responseJsonSchema", "responseMimeType"] {
                remove(body, "/generationConfig", name);
            }
        }
        if self.schema_of_object
            && let Some(schema) = body.pointer_mut("/response_format/json_schema/schema")
        {
            let schema = schema.take();
            body["response_format"] = json!({ "type": "json_object", "schema": schema });
        }
        let limits = [self.output_limit, self.output_left].into_iter().flatten();
        let Some(limit) = limits.min() else { return };
        for place in LIMITS {
            if let Some(value) = body.pointer_mut(place)
                && value.as_u64().is_some_and(|asked| asked > limit)
            {
                *value = limit.into();
            }
        }
    }
}

fn remove(body: &mut Value, parent: &str, name: &str) {
    if let Some(Value::Object(fields)) = body.pointer_mut(parent) {
        fields.remove(name);
    }
}

/// The name of a parameter without its place: `temperature` of `generation_config.temperature`,
/// `response_format` of `response_format.json_schema.schema`.
fn parameter(path: &str) -> &str {
    let path = path.trim_start_matches("generation_config.");
    path.split(['.', '[', '/']).next().unwrap_or_default()
}

/// Whether the content of a message is refused: `messages.1.content`, `messages[1].content`.
fn is_refused_content(failure: &Failure, meaning: Meaning) -> bool {
    matches!(meaning, Meaning::ParameterRefused | Meaning::Malformed)
        && failure
            .param()
            .is_some_and(|path| path.starts_with("messages") && path.ends_with(".content"))
}

/// Whether a parameter is the schema of a tool: `tools[0].parameters`, `tools.0.custom.input_schema`,
/// `tools[0].function_declarations[2].parameters.properties[0].value`.
fn is_schema_of_tool(path: &str) -> bool {
    path.starts_with("tools")
        && path
            .split(['.', '[', ']', '/'])
            .any(|part| matches!(part, "parameters" | "input_schema" | "schema"))
}

/// Whether an error without a field for it names a parameter as the one that is refused: in one of the
/// forms that are in use, and not just anywhere.
fn names(failure: &Failure, name: &str) -> bool {
    [
        format!("parameter: '{name}'"),
        format!("parameter '{name}'"),
        format!("parameter {name}"),
        format!("parameters: {name}"),
        format!("parameters: ['{name}'"),
        format!("value: '{name}'"),
        format!("argument supplied: {name}"),
        format!("argument not supported on this model: {name}"),
        format!("does not support '{name}'"),
        format!("does not support {name}"),
        format!("'{name}' is not supported"),
        format!("unknown field '{name}'"),
        format!("unknown name '{name}'"),
        format!("^{name}:"),
        format!("^{name} "),
        format!("^'{name}'"),
        format!("^invalid {name}"),
        format!("^invalid '{name}'"),
        format!("it has a {name} value of"),
    ]
    .iter()
    .any(|phrase| failure.says(phrase))
}

/// The quirks learned so far, by model.
#[derive(Debug, Default)]
pub(super) struct LearnedQuirks(Mutex<HashMap<ModelRef, Quirks>>);

impl LearnedQuirks {
    pub(super) fn of(&self, model: &ModelRef) -> Quirks {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(model).copied().unwrap_or_default()
    }

    /// Keeps what made a request succeed, beside what others have learned in the meantime.
    pub(super) fn keep(&self, model: &ModelRef, quirks: Quirks) {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = known.get(model).copied().unwrap_or_default();
        let quirks = before.with(quirks);
        if before == quirks {
            return;
        }
        if known.len() < MAX_MODELS || known.contains_key(model) {
            known.insert(model.clone(), quirks);
            tracing::info!(
                provider = model.provider.as_str(),
                model = model.name,
                differs = %quirks.in_words(),
                "model refuses a part of the request; leaving it out from now on"
            );
        }
    }
}

#[cfg(test)]
mod tests;
