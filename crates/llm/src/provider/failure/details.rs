//! What an error's body says, in whatever shape: nested objects, lists, JSON within strings, pages.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;
use serde_json::Value;

use super::delay;
use super::pattern::{normalized, without_quoted_names, without_quotes};

/// How deep errors are wrapped at most.
const MAX_DEPTH: u8 = 8;
/// The most items of a list that are read.
const MAX_ITEMS: usize = 5;
/// The most codes and messages that are read.
const MAX_FOUND: usize = 16;
/// The most bytes of a message that are read.
const MAX_MESSAGE: usize = 8_192;

/// Pydantic's words to a message without a content, as llama-cpp-python prints them.
const NULL_CONTENT: &str = "'content'), 'msg': 'Input should be a valid string', 'input': None";

/// What MiniMax's codes begin with here.
pub(super) const BASE_RESP: &str = "base_resp.";

/// What an error's body says.
#[derive(Debug, Default)]
pub(super) struct ErrorDetails {
    /// The statuses in the body itself, the outermost first.
    pub(super) statuses: Vec<u16>,
    /// Codes and types, in lower case, the outermost first.
    pub(super) codes: Vec<String>,
    /// The parameter that is refused, such as `temperature` or `tools[0].parameters`.
    pub(super) param: Option<String>,
    /// The messages with the depth at which they were found.
    messages: Vec<(u8, String)>,
    pub(super) retry_after: Option<Duration>,
    /// All messages in the form that phrases are compared with.
    pub(super) texts: Vec<String>,
    /// The same without names in quotes.
    pub(super) bare_texts: Vec<String>,
    /// The same without anything in quotes, where words remain.
    pub(super) unquoted_texts: Vec<String>,
}

impl ErrorDetails {
    /// Parses the body of an error response.
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut found = Self::default();
        match serde_json::from_slice::<Value>(body) {
            Ok(body) => found.value(&body, 0),
            Err(_) => found.text(&String::from_utf8_lossy(body), 0),
        }
        found.finish()
    }

    /// Parses an error that is JSON already.
    pub(super) fn of_object(error: &Value) -> Self {
        let mut found = Self::default();
        found.value(error, 0);
        found.finish()
    }

    /// The provider's own sentence: that of the innermost error.
    pub(super) fn sentence(&self) -> String {
        let deepest = self.messages.iter().map(|(depth, _)| *depth).max().unwrap_or_default();
        let mut parts: Vec<&str> = Vec::new();
        for (depth, message) in &self.messages {
            if *depth == deepest && !parts.contains(&message.as_str()) {
                parts.push(message);
            }
        }
        parts.join("; ")
    }

    /// The refused parameter and all messages, a line each.
    pub(super) fn lines(&self) -> String {
        let messages = self.messages.iter().map(|(_, message)| message.as_str());
        self.param.as_deref().into_iter().chain(messages).collect::<Vec<_>>().join("\n")
    }

    fn finish(mut self) -> Self {
        self.texts = self.messages.iter().map(|(_, message)| normalized(message)).collect();
        self.bare_texts = self.texts.iter().map(|text| without_quoted_names(text)).collect();
        self.unquoted_texts = self.texts.iter().map(|text| without_quotes(text)).collect();
        if self.retry_after.is_none() {
            let now = SystemTime::now();
            self.retry_after = self.texts.iter().find_map(|text| delay::of_message(text, now));
        }
        self
    }

    fn value(&mut self, value: &Value, depth: u8) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::String(text) => self.text(text, depth),
            Value::Array(items) => {
                items.iter().take(MAX_ITEMS).for_each(|item| self.value(item, depth));
            }
            Value::Object(_) => self.object(value, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, error: &Value, depth: u8) {
        let field = |name: &str| error.get(name).filter(|value| !value.is_null());
        for name in ["code", "type", "status", "error_type", "error_code", "__type", "reason"] {
            self.code(field(name));
        }
        self.param(error);
        // The message belongs to this error; what is nested is the error that it wraps.
        for name in ["message", "msg", "title", "error_description", "status_msg"] {
            if let Some(message) = field(name) {
                self.value(message, depth + u8::from(!message.is_string()));
            }
        }
        for name in ["error", "errors", "detail", "innererror", "base_resp", "cause"] {
            if let Some(inner) = field(name) {
                self.value(inner, depth + u8::from(!inner.is_string()));
            }
        }
        // MiniMax's numbers mean something else than those of others.
        match error.pointer("/base_resp/status_code").and_then(Value::as_u64) {
            None | Some(0) => {}
            Some(code) => self.push_code(&format!("{BASE_RESP}{code}")),
        }
        if let Some(metadata) = field("metadata") {
            self.metadata(metadata, depth + 1);
        }
        match field("details") {
            Some(Value::Array(details)) => {
                details.iter().take(MAX_FOUND).for_each(|detail| self.google_detail(detail, depth));
            }
            Some(other) => self.value(other, depth),
            None => {}
        }
    }

    /// OpenRouter's wrapping of an upstream error:
    /// <https://openrouter.ai/docs/api-reference/errors#provider-errors>.
    fn metadata(&mut self, metadata: &Value, depth: u8) {
        if let Some(raw) = metadata.get("raw") {
            self.value(raw, depth);
        }
        if metadata.get("flagged_input").is_some() {
            self.push_code("moderation_flagged");
        }
        self.code(metadata.get("error_type"));
        let reset = metadata.pointer("/headers/X-RateLimit-Reset").and_then(Value::as_str);
        if let Some(wait) = reset.and_then(|text| delay::reset_at(text, SystemTime::now())) {
            self.retry_after.get_or_insert(wait);
        }
    }

    /// Google's `ErrorInfo`, `RetryInfo`, `QuotaFailure` and `BadRequest`:
    /// <https://cloud.google.com/apis/design/errors#error_details>.
    fn google_detail(&mut self, detail: &Value, depth: u8) {
        let delay = detail.get("retryDelay").and_then(Value::as_str);
        let delay = delay.and_then(|text| retry::retry_after_seconds(text.strip_suffix('s')?));
        self.retry_after = self.retry_after.or(delay);
        self.code(detail.get("reason"));
        let violations = |name: &str| {
            detail.get(name).and_then(Value::as_array).into_iter().flatten().take(MAX_ITEMS)
        };
        for violation in violations("violations") {
            self.code(violation.get("quotaId"));
        }
        for violation in violations("fieldViolations") {
            self.param(violation);
        }
        if detail.get("@type").is_none() {
            self.value(detail, depth + 1);
        }
    }

    /// The parameter that is named by `param`, by `loc` (FastAPI) or by `field` (Google).
    fn param(&mut self, error: &Value) {
        let named = ["param", "field"].iter().find_map(|name| error.get(*name)?.as_str());
        let named = named.map(str::to_owned).or_else(|| {
            let path = error.get("loc")?.as_array()?.iter();
            let parts =
                path.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
            let parts: Vec<String> = parts.filter(|part| part != "body").collect();
            Some(parts.join("."))
        });
        if let Some(named) = named.filter(|named| !named.trim().is_empty()) {
            self.param = Some(named);
        }
    }

    fn code(&mut self, code: Option<&Value>) {
        let text = match code {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return,
        };
        match text.parse::<u16>() {
            Ok(status) if (400..600).contains(&status) => self.statuses.push(status),
            Ok(0 | 200) => {}
            // An event's own type, and what the whole object is.
            _ if ["error", "response.failed", "failed", "failure"].contains(&text.as_str()) => {}
            _ => self.push_code(&text),
        }
    }

    fn push_code(&mut self, code: &str) {
        let code = code.trim().to_lowercase();
        if !code.is_empty() && self.codes.len() < MAX_FOUND && !self.codes.contains(&code) {
            self.codes.push(code);
        }
    }

    /// A message, which may hold an error as JSON or be a whole page.
    fn text(&mut self, text: &str, depth: u8) {
        let text = text.trim();
        let text = &text[..text.floor_char_boundary(MAX_MESSAGE)];
        if text.starts_with('<') {
            return self.message(&page_title(text), depth);
        }
        let own = own_words(text);
        self.exceptions(own);
        if depth < MAX_DEPTH
            && let Some((before, inner)) = json_within(text, own.len())
        {
            if !before.is_empty() {
                self.message(before, depth);
            }
            return self.value(&inner, depth + 1);
        }
        self.message(own, depth);
        // Of a message, Pydantic names each form that it might have had, in front of what is wrong.
        if self.param.as_deref() == Some("messages") && text.contains(NULL_CONTENT) {
            self.param = Some("messages.content".to_owned());
        }
    }

    fn message(&mut self, text: &str, depth: u8) {
        if self.param.is_none() {
            self.param = param_of_printed(text).map(str::to_owned);
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_known = self.messages.iter().any(|(_, message)| *message == text);
        if !text.is_empty() && !is_known && self.messages.len() < MAX_FOUND {
            self.messages.push((depth, text));
        }
    }

    /// The class names in messages of LiteLLM (`litellm.RateLimitError: …`) and of AWS (`An error
    /// occurred (ThrottlingException) …`): at the beginning, or in parentheses before any quote, since
    /// what is quoted may be somebody else's words.
    fn exceptions(&mut self, text: &str) {
        let mut rest = text;
        while let Some((name, after)) = rest.split_once(": ").filter(|(name, _)| is_class(name)) {
            self.exception(name);
            rest = after;
        }
        let unquoted = rest.split(['\'', '"', '`', '‘', '“']).next().unwrap_or_default();
        for part in unquoted.split('(').skip(1) {
            let name = part.split_once(')').map_or("", |(name, _)| name);
            if is_class(name) {
                self.exception(name);
            }
        }
    }

    fn exception(&mut self, name: &str) {
        match name.strip_prefix("litellm.") {
            Some(name) => self.push_code(name),
            None if name.ends_with("Exception") => self.push_code(name),
            None => {}
        }
    }
}

/// Whether a text is the name of a class of errors.
fn is_class(name: &str) -> bool {
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_');
    is_name && (name.ends_with("Exception") || name.ends_with("Error"))
}

/// A message up to where it repeats what a person or the model wrote: the `input` of Pydantic's errors
/// (vLLM, SGLang), the text that llama.cpp and Ollama could not parse. Those words are neither the
/// provider's nor for the log.
fn own_words(text: &str) -> &str {
    static ECHO: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"(?i)[{,]\s*\\?['"](?:input|failed_generation)\\?['"]\s*:"#,
            r#"|\binput_value\s*=|\bfailed_generation\s*=|\braw\s*=\s*\\?['"]|;?\s*\blast read:"#,
            r"|(?:failed to parse input at pos(?:ition)? \d+|remaining in message header)(:)",
        ))
        .ok()
    });
    let found = ECHO.as_ref().and_then(|echo| echo.captures(text));
    // A mark that belongs to the provider's sentence stays; its colon does not.
    let at = found.and_then(|found| Some(found.get(1).or_else(|| found.get(0))?.start()));
    at.map_or(text, |at| text[..at].trim_end())
}

/// The parameter in an error of Pydantic that is printed as text: `'loc': ('body', 'temperature')`
/// (llama-cpp-python, vLLM).
fn param_of_printed(text: &str) -> Option<&str> {
    let (before, place) = text.split_once("'loc': ('body', '")?;
    let (name, _) = place.split_once('\'')?;
    before.contains("validation error").then_some(name)
}

/// The JSON object that a text holds before `end`, and what stands before it.
fn json_within(text: &str, end: usize) -> Option<(&str, Value)> {
    let starts = text.match_indices('{').map(|(at, _)| at);
    // The mark of an echo may be in the object itself, whose fields are told apart.
    let starts = starts.take_while(|at| *at <= end).take(MAX_ITEMS);
    let (at, inner) = starts.into_iter().find_map(|at| {
        let mut parsed = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        Some((at, parsed.next()?.ok()?))
    })?;
    let before = text[..at].trim_end_matches([' ', '-', ':', '\'', 'b', '[']);
    // Others than errors have a message, too: the arguments of a tool that a server could not parse.
    let is_wrapped =
        before.is_empty() || text[before.len()..at].contains('-') || before.ends_with("data");
    const NAMES: [&str; 4] = ["error", "detail", "errors", "base_resp"];
    let is_error = NAMES.iter().any(|name| inner.get(name).is_some())
        || is_wrapped && ["message", "msg"].iter().any(|name| inner.get(name).is_some());
    is_error.then_some((before, inner))
}

/// The title of an HTML page, or else its text.
fn page_title(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|start| {
        let end = lower[start..].find("</title>")? + start;
        page.get(start + "<title>".len()..end)
    });
    if let Some(title) = title {
        return title.to_owned();
    }
    let mut in_tag = false;
    page.chars()
        .filter(|c| {
            let hidden = in_tag || *c == '<';
            in_tag = hidden && *c != '>';
            !hidden
        })
        .collect()
}

#[cfg(test)]
mod tests;
