//! Reading requests: the same questions to each protocol.

use serde_json::{Map, Value};

use super::{Call, Profile};

/// A tool as the model is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    /// `Null` when there is none.
    pub(super) parameters: &'a Value,
}

/// The items of a list; none when there is no list.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A text; empty when there is none.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The fields of an object that are not in the list.
pub(super) fn unknown_field<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let fields: Option<&Map<_, _>> = value.as_object();
    fields?.keys().map(String::as_str).find(|field| !known.contains(field))
}

/// Whether a text has 1 to `most` characters of letters, digits and `more`.
pub(super) fn is_made_of(text: &str, more: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

/// Whether a name is one for OpenAI's API, and for most others.
pub(super) fn is_name(name: &str) -> bool {
    is_made_of(name, "_-", 64)
}

/// The first text that is there twice.
pub(super) fn duplicate<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = std::collections::HashSet::new();
    texts.into_iter().find(|text| !seen.insert(*text))
}

impl<'a> Call<'a> {
    /// A header's text.
    pub(super) fn header(&self, name: &str) -> &'a str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The model's name.
    pub(super) fn model(&self) -> &'a str {
        if self.profile == Profile::Gemini {
            let path = self.path.split(':').next().unwrap_or_default();
            return path.rsplit('/').next().unwrap_or_default();
        }
        text(self.body, "/model")
    }

    /// The tools.
    pub(super) fn tools(&self) -> Vec<Tool<'a>> {
        tools(self.profile, self.body)
    }

    /// The first complaint about a tool.
    pub(super) fn each_tool(
        &self,
        complaint: impl Fn(usize, Tool<'a>) -> Option<String>,
    ) -> Option<String> {
        self.tools().into_iter().enumerate().find_map(|(n, tool)| complaint(n, tool))
    }

    /// The messages of Chat Completions or of Anthropic.
    pub(super) fn messages(&self) -> &'a [Value] {
        list(self.body, "/messages")
    }

    /// The first complaint about a message.
    pub(super) fn each_message(
        &self,
        complaint: impl Fn(usize, &'a Value) -> Option<String>,
    ) -> Option<String> {
        self.messages().iter().enumerate().find_map(|(n, message)| complaint(n, message))
    }

    /// The first complaint about a message of a role.
    pub(super) fn each_of(
        &self,
        role: &str,
        complaint: impl Fn(usize, &'a Value) -> Option<String>,
    ) -> Option<String> {
        self.each_message(|n, message| {
            (message["role"] == role).then(|| complaint(n, message)).flatten()
        })
    }

    /// The first complaint about a call of Chat Completions.
    pub(super) fn each_call(
        &self,
        complaint: impl Fn(usize, usize, &'a Value) -> Option<String>,
    ) -> Option<String> {
        self.each_of("assistant", |n, message| {
            let calls = list(message, "/tool_calls").iter().enumerate();
            calls.into_iter().find_map(|(k, call)| complaint(n, k, call))
        })
    }
}

/// The tools in a request's body.
pub(super) fn tools(profile: Profile, body: &Value) -> Vec<Tool<'_>> {
    let (at, parameters) = match profile {
        Profile::Gemini => {
            let groups = list(body, "/tools").iter();
            let tools = groups.flat_map(|group| list(group, "/functionDeclarations"));
            return tools.map(|tool| read(tool, "", "/parameters")).collect();
        }
        Profile::Anthropic => ("", "/input_schema"),
        Profile::Responses => ("", "/parameters"),
        _ => ("/function", "/function/parameters"),
    };
    list(body, "/tools").iter().map(|tool| read(tool, at, parameters)).collect()
}

fn read<'a>(tool: &'a Value, at: &str, parameters: &str) -> Tool<'a> {
    Tool {
        name: text(tool, &format!("{at}/name")),
        description: text(tool, &format!("{at}/description")),
        parameters: tool.pointer(parameters).unwrap_or(&Value::Null),
    }
}
