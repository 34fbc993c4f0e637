//! Templates in a script, such as `{1}`: parts of the conversation.

use std::borrow::Cow;

use regex::Regex;
use serde_json::Value;

use crate::context::CallContext;
use crate::media::Media;
use crate::request::{LlmRequest, Message, ToolChoice};

/// The groups of a rule's pattern; the whole match is the first.
#[derive(Debug, Default)]
pub(super) struct Captures(Vec<Option<String>>);

impl Captures {
    pub(super) fn of(pattern: &Regex, text: &str) -> Option<Self> {
        let found = pattern.captures(text)?;
        Some(Self(found.iter().map(|group| group.map(|group| group.as_str().to_owned())).collect()))
    }
}

/// The parts of the conversation that templates refer to.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    role: &'a str,
    user: &'a str,
    /// The images and documents of the newest user message, by their marks.
    files: Vec<String>,
    /// Name and content of the results since the newest user message, oldest first.
    results: Vec<(&'a str, Cow<'a, str>)>,
    /// Whether a result came last.
    after_tool: bool,
    /// What was said before the newest user message.
    earlier: &'a [Message],
}

impl<'a> Facts<'a> {
    pub(super) fn new(request: &'a LlmRequest, call: &'a CallContext) -> Self {
        // In a turn without tools, what follows the last result is a reminder and not the person.
        let messages = match request.messages.as_slice() {
            [before @ .., Message::User { .. }]
                if request.tool_choice == ToolChoice::None
                    && matches!(before.last(), Some(Message::Tool { .. })) =>
            {
                before
            }
            all => all,
        };
        let newest = messages.iter().rposition(|message| matches!(message, Message::User { .. }));
        let (user, files) = match newest.map(|at| &messages[at]) {
            Some(Message::User { content, media }) => (content.as_str(), media.as_slice()),
            _ => ("", &[][..]),
        };
        let since = &messages[newest.map_or(0, |at| at + 1)..];
        let results = since.iter().filter_map(|message| match message {
            Message::Tool { name, content, media, .. } => {
                let marks = media.iter().map(|media| ["\n", &media.mark()].concat());
                let content = match media.as_slice() {
                    [] => Cow::Borrowed(content.as_str()),
                    _ => Cow::Owned(content.clone() + &marks.collect::<String>()),
                };
                Some((name.as_str(), content))
            }
            Message::System { .. } | Message::User { .. } | Message::Assistant(_) => None,
        });
        Self {
            role: &call.role,
            user: call.user_text.as_deref().unwrap_or(user),
            files: files.iter().map(Media::mark).collect(),
            results: results.collect(),
            after_tool: matches!(messages.last(), Some(Message::Tool { .. })),
            earlier: &messages[..newest.unwrap_or_default()],
        }
    }

    pub(super) fn role(&self) -> &str {
        self.role
    }

    pub(super) fn user(&self) -> &str {
        self.user
    }

    /// The attached images and documents: `[image cat.png] [document a.pdf]`.
    pub(super) fn files(&self) -> String {
        self.files.join(" ")
    }

    /// The person's words, and a line for each image and document.
    pub(super) fn user_and_files(&self) -> String {
        let lines = self.files.iter().map(|mark| ["\n", mark.as_str()].concat());
        self.user.to_owned() + &lines.collect::<String>()
    }

    pub(super) fn earlier(&self) -> &'a [Message] {
        self.earlier
    }

    /// All results since the newest user message, as JSON.
    pub(super) fn results(&self) -> Vec<Value> {
        self.results.iter().map(|(_, content)| json_in(content)).collect()
    }

    pub(super) fn steps(&self) -> usize {
        self.results.len()
    }

    /// The tool whose result is the newest message.
    pub(super) fn last_tool(&self) -> Option<&str> {
        self.results.last().filter(|_| self.after_tool).map(|(name, _)| *name)
    }

    pub(super) fn last_result_text(&self) -> String {
        self.results.last().map(|(_, content)| json_in(content).to_string()).unwrap_or_default()
    }

    /// A text with its templates filled in.
    pub(super) fn text(&self, template: &str, captures: &Captures) -> String {
        let mut out = String::new();
        let mut rest = template;
        while let Some(start) = rest.find('{') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            let Some(end) = rest.find('}') else { break };
            let inner = &rest[1..end];
            match self.look_up(inner, captures) {
                Some(found) => {
                    match found.unwrap_or_default() {
                        Value::Null => {}
                        Value::String(text) => out.push_str(&text),
                        other => out.push_str(&other.to_string()),
                    }
                    rest = &rest[end + 1..];
                }
                // Other braces stay as they are.
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }

    /// A value with its templates filled in. A string that is one template keeps the type of what it
    /// refers to; a field whose only template refers to nothing is left out.
    pub(super) fn value(&self, template: &Value, captures: &Captures) -> Value {
        match template {
            Value::String(text) => self.whole(text, captures).map_or_else(
                || Value::String(self.text(text, captures)),
                Option::unwrap_or_default,
            ),
            Value::Array(items) => items.iter().map(|item| self.value(item, captures)).collect(),
            Value::Object(fields) => {
                let filled = fields.iter().filter_map(|(name, field)| {
                    let nothing = field
                        .as_str()
                        .and_then(|text| self.whole(text, captures))
                        .is_some_and(|found| found.is_none());
                    (!nothing).then(|| (name.clone(), self.value(field, captures)))
                });
                Value::Object(filled.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => template.clone(),
        }
    }

    /// The value of a string that is one template and nothing else.
    fn whole(&self, text: &str, captures: &Captures) -> Option<Option<Value>> {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        // Two templates, not one.
        if inner.contains(['{', '}']) {
            return None;
        }
        self.look_up(inner, captures)
    }

    /// `None` when the text between the braces is not a template; `Some(None)` when it is one that
    /// refers to nothing.
    fn look_up(&self, inner: &str, captures: &Captures) -> Option<Option<Value>> {
        let (inner, change): (_, fn(String) -> Value) =
            if let Some(inner) = inner.strip_suffix("|lower") {
                (inner, |text| text.to_lowercase().into())
            } else if let Some(inner) = inner.strip_suffix("|number") {
                (inner, number)
            } else {
                (inner, Value::String)
            };
        let found = self.plain(inner, captures)?;
        Some(found.map(|found| match found {
            Value::String(text) => change(text),
            found => found,
        }))
    }

    fn plain(&self, inner: &str, captures: &Captures) -> Option<Option<Value>> {
        if let Ok(group) = inner.parse::<usize>() {
            return Some(captures.0.get(group).cloned().flatten().map(Value::String));
        }
        match inner {
            "user" => return Some(Some(self.user.into())),
            "files" => return Some(Some(self.files().into())),
            "role" => return Some(Some(self.role.into())),
            _ => {}
        }
        let (head, path) = match inner.split_once('.') {
            Some((head, path)) => (head, path),
            None => (inner, ""),
        };
        let (content, path) = match head {
            "result" => (self.results.last().map(|(_, content)| content), Cow::Borrowed(path)),
            "tool" => {
                let (name, path) = path.split_once('.').unwrap_or((path, ""));
                let (name, nth) = match name.split_once('#') {
                    Some((name, nth)) => (name, Some(nth.parse::<usize>().ok()?)),
                    None => (name, None),
                };
                let mut of_tool = self.results.iter().filter(|(tool, _)| *tool == name);
                let found = match nth {
                    Some(nth) => of_tool.nth(nth.checked_sub(1)?),
                    None => of_tool.next_back(),
                };
                (found.map(|(_, content)| content), Cow::Borrowed(path))
            }
            _ => return None,
        };
        let found = content.and_then(|content| part_of(json_in(content), &path));
        if found.is_none() {
            tracing::warn!(
                template = inner,
                "a template of the offline script has no value in the request"
            );
        }
        Some(found)
    }
}

/// The number that a text is; the text itself where it is none.
fn number(text: String) -> Value {
    match serde_json::from_str::<serde_json::Number>(text.trim()) {
        Ok(number) => number.into(),
        Err(_) => text.into(),
    }
}

/// A part of a value: `schools.0.name`; the whole for an empty path.
fn part_of(value: Value, path: &str) -> Option<Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Object(mut fields) => fields.remove(part),
        Value::Array(items) => items.into_iter().nth(part.parse().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The JSON of a tool's result, which may be enclosed in marks that label it as data; the text
/// itself when there is no JSON.
fn json_in(content: &str) -> Value {
    let mut at = 0;
    for line in content.split_inclusive('\n') {
        if line.starts_with(['{', '[', '"']) {
            let mut values = serde_json::Deserializer::from_str(&content[at..]).into_iter();
            if let Some(Ok(value)) = values.next() {
                return value;
            }
        }
        at += line.len();
    }
    Value::String(content.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FENCED: &str = "<data source=\"x\">\n{\"items\":[{\"id\":\"a\",\"n\":7}],\"more\":null}\n</data>\n(a note)";

    fn facts() -> Facts<'static> {
        Facts {
            role: "scout",
            user: "find Two things",
            files: vec!["[image cat.png]".to_owned()],
            results: vec![
                ("list", "{\"id\":1}".into()),
                ("list", "{\"id\":2}".into()),
                ("get", FENCED.into()),
            ],
            after_tool: true,
            earlier: &[],
        }
    }

    fn captures() -> Captures {
        Captures::of(&Regex::new(r"find (\w+)( x)?").unwrap(), "find Two things").unwrap()
    }

    #[test]
    fn templates_are_filled_in_and_other_braces_stay() {
        for (template, text) in [
            ("{1} for {role}: {user}", "Two for scout: find Two things"),
            ("{1|lower}", "two"),
            ("{files}", "[image cat.png]"),
            ("{result.items.0.id}{result.items.0.n}", "a7"),
            ("{tool.list.id} {tool.list#1.id}", "2 1"),
            ("[{2}{result.nothing}]", "[]"),
            ("{\"a\": {x}} {", "{\"a\": {x}} {"),
            ("{result.items}", "[{\"id\":\"a\",\"n\":7}]"),
        ] {
            assert_eq!(facts().text(template, &captures()), text, "{template}");
        }
    }

    #[test]
    fn a_value_keeps_its_type_and_nothing_is_left_out() {
        let template = json!({"two": "{tool.list.id} {result.items.0.id}", "n": "{result.items.0.n}", "none": "{2}", "list": ["{1}", "n={result.items.0.n}"], "k": 1});
        let filled = json!({"two": "2 a", "n": 7, "list": ["Two", "n=7"], "k": 1});
        assert_eq!(facts().value(&template, &captures()), filled);
    }

    #[test]
    fn a_group_is_text_unless_a_number_is_asked_for() {
        let found = Captures::of(&Regex::new(r"(\w+) (\w+)").unwrap(), "7 seven").unwrap();
        for (template, value) in [
            ("{1}", json!("7")),
            ("{1|number}", json!(7)),
            ("{2|number}", json!("seven")),
            ("{1|number}.", json!("7.")),
            ("{result.items.0.n|number}", json!(7)),
        ] {
            assert_eq!(facts().value(&json!(template), &found), value, "{template}");
        }
    }

    #[test]
    fn a_result_that_is_no_json_is_its_text() {
        assert_eq!(json_in("plain words"), json!("plain words"));
        assert_eq!(json_in("[cut: x]\n{\"a\":1}"), json!({"a": 1}));
    }
}
