//! What an error's body says, in whatever shape: nested objects, lists, JSON within strings, pages.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::delay;
use super::pattern::{normalized, without_quoted_names};

/// How deep errors are wrapped at most.
const MAX_DEPTH: u8 = 8;
/// The most items of a list that are read.
const MAX_ITEMS: usize = 5;
/// The most codes and messages that are read.
const MAX_FOUND: usize = 16;
/// The most bytes of a message that are read.
const MAX_MESSAGE: usize = 8_192;

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

    fn finish(mut self) -> Self {
        self.texts = self.messages.iter().map(|(_, message)| normalized(message)).collect();
        self.bare_texts = self.texts.iter().map(|text| without_quoted_names(text)).collect();
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
        self.exceptions(text);
        if depth < MAX_DEPTH
            && let Some((before, inner)) = json_within(text)
        {
            if !before.is_empty() {
                self.message(before, depth);
            }
            return self.value(&inner, depth + 1);
        }
        self.message(text, depth);
    }

    fn message(&mut self, text: &str, depth: u8) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let is_known = self.messages.iter().any(|(_, message)| *message == text);
        if !text.is_empty() && !is_known && self.messages.len() < MAX_FOUND {
            self.messages.push((depth, text));
        }
    }

    /// The class names in messages of LiteLLM (`litellm.RateLimitError: …`) and of AWS (`An error
    /// occurred (ThrottlingException) …`).
    fn exceptions(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        for word in words {
            if let Some(name) = word.strip_prefix("litellm.") {
                self.push_code(name.trim_end_matches('.'));
            } else if word.len() > "Exception".len() && word.ends_with("Exception") {
                self.push_code(word);
            }
        }
    }
}

/// The JSON object that a text holds, and what stands before it.
fn json_within(text: &str) -> Option<(&str, Value)> {
    let starts = text.match_indices('{').map(|(at, _)| at);
    let (at, inner) = starts.take(MAX_ITEMS).find_map(|at| {
        let mut parsed = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        Some((at, parsed.next()?.ok()?))
    })?;
    const NAMES: [&str; 6] = ["error", "message", "detail", "errors", "msg", "base_resp"];
    let is_error = NAMES.iter().any(|name| inner.get(name).is_some());
    is_error.then(|| (text[..at].trim_end_matches([' ', '-', ':', '\'', 'b', '[']), inner))
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
mod tests {
    use super::*;

    fn parse(body: &str) -> ErrorDetails {
        ErrorDetails::parse(body.as_bytes())
    }

    #[test]
    fn the_sentence_is_found_in_every_shape() {
        for body in [
            r#"{"error":{"message":"why","type":"t"}}"#,
            r#"[{"error":{"message":"why"}}]"#,
            r#"{"error":"why"}"#,
            r#"{"code":"Bad","error":"why"}"#,
            r#"{"message":"why"}"#,
            r#"{"detail":"why"}"#,
            r#"{"detail":[{"loc":["body","x"],"msg":"why","type":"t"}]}"#,
            r#"{"object":"error","message":{"detail":[{"msg":"why"}]}}"#,
            r#"{"errors":[{"message":"why"}]}"#,
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"why\"}}"}}}"#,
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"why"}}}"#,
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":{"detail":"why"}}}}"#,
            r#"{"error":{"message":"litellm.BadRequestError: XException - {\"error\":{\"message\":\"why\"}}. Received Model Group=m"}}"#,
            r#"{"error":{"message":"{\n \"error\": {\"message\": \"{\\\"error\\\":\\\"why\\\"}\"}}"}}"#,
            r#""why""#,
            "why",
            "data: {\"error\":{\"message\":\"why\"}}\n\n",
            "<html><head><title>why</title></head><body>x</body></html>",
            "<b>why</b>",
        ] {
            assert_eq!(parse(body).sentence(), "why", "{body}");
        }
        for body in ["", "{}", "[]", "null", "7", "[[[[[[[[[[[[\"x\"]]]]]]]]]]]"] {
            let sentence = parse(body).sentence();
            assert!(sentence.is_empty() || body.contains('x'), "{body}: {sentence}");
        }
    }

    #[test]
    fn codes_statuses_and_parameters_are_found() {
        let found = parse(
            r#"{"type":"error","error":{"code":"400","status":"INVALID_ARGUMENT","param":"tools","details":[
                {"@type":"x","reason":"API_KEY_INVALID"},{"@type":"x","fieldViolations":[{"field":"generation_config.temperature"}]},
                {"@type":"x","retryDelay":"34.5s"},{"@type":"x","violations":[{"quotaId":"PerDay"}]}]}}"#,
        );
        assert_eq!(found.statuses, [400]);
        assert_eq!(found.codes, ["invalid_argument", "api_key_invalid", "perday"]);
        assert_eq!(found.param.as_deref(), Some("generation_config.temperature"));
        assert_eq!(found.retry_after, Some(Duration::from_millis(34_500)));
        let found =
            parse(r#"{"detail":[{"loc":["body","tools",0,"name"],"msg":"m","type":"extra"}]}"#);
        assert_eq!(found.param.as_deref(), Some("tools.0.name"));
        let found = parse(r#"{"error":{"code":1113,"message":"(ThrottlingException) x"}}"#);
        assert_eq!(found.codes, ["1113", "throttlingexception"]);
    }

    #[test]
    fn what_the_model_or_a_person_wrote_is_no_message() {
        let found = parse(
            r#"{"error":{"message":"failed","failed_generation":"credit balance is too low"},
                "detail":[{"msg":"m","input":"credit balance is too low"}]}"#,
        );
        assert!(found.texts.iter().all(|text| !text.contains("credit")), "{:?}", found.texts);
    }
}
