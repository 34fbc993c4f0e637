//! What is asked of a model: messages, tools, limits. Plain data, and serialisable, so that a run
//! can be written down and taken up elsewhere.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::ModelRef;

/// One call of a model.
#[derive(Debug, Clone)]
pub struct LlmRequest {
    /// The model to ask first; the client's fallback stands behind it.
    pub model: ModelRef,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: ToolList,
    /// Whether it may call them in this turn.
    pub tool_choice: ToolChoice,
    /// The most tokens the answer may have; the provider's own limit when absent.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2; the provider's own default when absent.
    pub temperature: Option<f64>,
    /// The answer must be JSON of this schema, where the provider can be held to one.
    pub response_schema: Option<ResponseSchema>,
}

/// A JSON Schema for the answer, and the name under which the provider gets it.
#[derive(Debug, Clone)]
pub struct ResponseSchema {
    /// A short name: letters, digits, `_`, `-`.
    pub name: String,
    /// The schema.
    pub schema: Value,
}

/// Whether the model may call tools in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// Not in this turn. The tools are still sent where earlier turns of the conversation used
    /// them, because some providers refuse such a conversation otherwise.
    None,
}

/// Tools that go with many calls: what is computed of them is computed once.
#[derive(Clone, Default)]
pub struct ToolList(Arc<Listed>);

#[derive(Default)]
struct Listed {
    specs: Box<[ToolSpec]>,
    size: OnceLock<u64>,
    /// As JSON, in each form that was asked for so far.
    written: Mutex<Vec<(ToolForm, Arc<str>)>>,
}

/// The form in which a kind of provider takes tools, and whether schemas are to be plain.
pub(crate) type ToolForm = (&'static str, bool);

impl ToolList {
    /// How large they are for the model, by the caller's measure, which must be the same each time.
    pub fn size(&self, measure: impl FnOnce(&[ToolSpec]) -> u64) -> u64 {
        *self.0.size.get_or_init(|| measure(&self.0.specs))
    }

    /// As JSON in a provider's form.
    pub(crate) fn written(
        &self,
        form: ToolForm,
        write: impl FnOnce(&[ToolSpec]) -> Value,
    ) -> Arc<str> {
        let mut all = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = all.iter().find(|(known, _)| *known == form) {
            return Arc::clone(text);
        }
        let text: Arc<str> = write(&self.0.specs).to_string().into();
        all.push((form, Arc::clone(&text)));
        text
    }
}

impl From<Vec<ToolSpec>> for ToolList {
    fn from(specs: Vec<ToolSpec>) -> Self {
        Self(Arc::new(Listed { specs: specs.into(), ..Listed::default() }))
    }
}

impl Deref for ToolList {
    type Target = [ToolSpec];

    fn deref(&self) -> &[ToolSpec] {
        &self.0.specs
    }
}

impl fmt::Debug for ToolList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.specs.fmt(f)
    }
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// `[A-Za-z0-9_-]{1,64}`, the form that all providers take.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// The JSON Schema of its arguments: an object.
    pub parameters: Value,
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions. The first ones are the system prompt; one further down keeps its place where
    /// the provider allows it.
    System {
        /// The text.
        content: String,
    },
    /// What the person said.
    User {
        /// The text.
        content: String,
    },
    /// What the model answered.
    Assistant(AssistantMessage),
    /// What a tool answered.
    Tool {
        /// The id of the call.
        call_id: String,
        /// The tool's name, for providers that want it again.
        name: String,
        /// The result, as text for the model.
        content: String,
    },
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::System { content: content.into() }
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::User { content: content.into() }
    }

    /// An assistant message of text only.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant(AssistantMessage { text: text.into(), ..AssistantMessage::default() })
    }
}

/// A turn of the model: text, tool calls, or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AssistantMessage {
    /// The text; empty when it only calls tools.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The calls, in the model's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id, or one made by the client where the provider gives none.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// The arguments. Text that was not JSON is kept as a JSON string, so that the caller can tell
    /// the model what was wrong with it.
    pub arguments: Value,
    /// What the provider wants to see again with the result (such as a thought signature).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_state: Option<Value>,
}
