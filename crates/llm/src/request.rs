//! A request to a model: messages, tools, limits. Plain data and serialisable, so that a run can be
//! stored and resumed elsewhere.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

pub use model_turn::ToolCall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog;
use crate::final_tool::{FinalTool, with_final_tool};
use crate::media::Media;
use crate::model::{ModelRef, Provider};

/// One call of a model.
#[derive(Debug, Clone)]
pub struct LlmRequest {
    /// The model to call first, before the client's fallback.
    pub model: ModelRef,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that the model may call.
    pub tools: ToolList,
    /// Whether it may call them in this turn.
    pub tool_choice: ToolChoice,
    /// The most tokens of the answer; the provider's own limit when `None`.
    pub max_output_tokens: Option<u32>,
    /// 0 to 2; the provider's default when `None`.
    pub temperature: Option<f64>,
    /// The answer is to be JSON of this schema. The provider gets the form that holds its model to it; the
    /// prompt has to tell the schema, too, and the caller checks the answer.
    pub response_schema: Option<Arc<ResponseSchema>>,
}

impl LlmRequest {
    /// The limit of the answer at this model, tokens: never more than the model can write.
    pub(crate) fn output_limit(&self, model: &ModelRef) -> Option<u32> {
        let known = catalog::find(model.provider, &model.name);
        self.max_output_tokens.map(|limit| known.map_or(limit, |model| limit.min(model.max_output)))
    }

    /// The temperature for this model: none where it takes none, and never above `highest`, the end of
    /// the provider's scale.
    pub(crate) fn temperature_for(&self, model: &ModelRef, highest: f64) -> Option<f64> {
        let known = catalog::find(model.provider, &model.name);
        let temperature = self.temperature.filter(|_| !known.is_some_and(|m| m.fixed_sampling))?;
        Some(temperature.min(highest))
    }

    /// Whether tools are sent: also when they may not be called, if the conversation has used them,
    /// because some providers reject it otherwise.
    pub(crate) fn sends_tools(&self) -> bool {
        let used = || self.messages.iter().any(|message| matches!(message, Message::Tool { .. }));
        !self.tools.is_empty() && (self.tool_choice == ToolChoice::Auto || used())
    }
}

/// A JSON Schema for the answer, and its name for the provider.
#[derive(Debug)]
pub struct ResponseSchema {
    /// A short name: letters, digits, `_`, `-`.
    pub name: String,
    /// The schema.
    pub schema: Value,
    /// The tools with the one that takes the answer, for the tools that were sent first.
    tools: OnceLock<(ToolList, ToolList, FinalTool)>,
}

impl ResponseSchema {
    /// A schema under a name.
    pub fn new(name: impl Into<String>, schema: Value) -> Self {
        Self { name: name.into(), schema, tools: OnceLock::new() }
    }

    /// These tools, and one that takes the answer.
    pub(crate) fn with_final_tool(&self, tools: &ToolList) -> (ToolList, FinalTool) {
        let make = || {
            let (all, tool) = with_final_tool(self, tools);
            (tools.clone(), all, tool)
        };
        let (of, all, tool) = self.tools.get_or_init(make);
        if Arc::ptr_eq(&of.0, &tools.0) {
            return (all.clone(), tool.clone());
        }
        let (_, all, tool) = make();
        (all, tool)
    }
}

/// Whether the model may call tools in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No calls in this turn. The tools are still sent where earlier turns of the conversation used
    /// them, because some providers reject such a conversation otherwise.
    None,
}

/// The tools of many calls, shared: their size and their form for a provider are computed once.
#[derive(Clone, Default)]
pub struct ToolList(Arc<Inner>);

#[derive(Default)]
struct Inner {
    specs: Box<[ToolSpec]>,
    size: OnceLock<u64>,
    /// The forms that were needed so far: what providers take of these tools.
    forms: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// The most forms of a list that are kept.
const MAX_FORMS: usize = 16;

impl ToolList {
    /// Their size for the model, by the caller's measure, which must be the same each time.
    pub fn size(&self, measure: impl FnOnce(&[ToolSpec]) -> u64) -> u64 {
        *self.0.size.get_or_init(|| measure(&self.0.specs))
    }

    /// A form of the tools, made on first use.
    pub(crate) fn form<T: Any + Send + Sync>(
        &self,
        is_wanted: impl Fn(&T) -> bool,
        make: impl FnOnce(&[ToolSpec]) -> T,
    ) -> Arc<T> {
        let mut all = self.0.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |form: &&Arc<dyn Any + Send + Sync>| form.downcast_ref::<T>().is_some_and(&is_wanted);
        if let Some(Ok(form)) = all.iter().find(fits).map(|form| Arc::clone(form).downcast()) {
            return form;
        }
        let form = Arc::new(make(&self.0.specs));
        let erased: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&form);
        if all.len() >= MAX_FORMS {
            all.remove(0);
        }
        all.push(erased);
        form
    }
}

impl From<Vec<ToolSpec>> for ToolList {
    fn from(specs: Vec<ToolSpec>) -> Self {
        Self(Arc::new(Inner { specs: specs.into(), ..Inner::default() }))
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

/// A tool, as described to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Its name, unique in the list. Providers that do not take it get another one; calls come back
    /// with this one.
    pub name: String,
    /// What it does, for the model. Cut at the end of a sentence where a provider takes less.
    pub description: String,
    /// The JSON Schema of its arguments: an object. Providers get what they take of it; arguments
    /// come back with the names that the schema has.
    ///
    /// A tool that calls another one marks the property with its name by [`TOOL_NAME`] and the one
    /// with its arguments by [`TOOL_ARGUMENTS`].
    pub parameters: Value,
}

/// The keyword of a property that holds another tool's name.
pub const TOOL_NAME: &str = "x-tool-name";

/// The keyword of a property that holds another tool's arguments.
pub const TOOL_ARGUMENTS: &str = "x-tool-arguments";

/// How a tool differs at a provider from its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolProblem {
    /// The tool's own name.
    pub tool: String,
    /// What was done.
    pub change: ToolChange,
    /// What, and why.
    pub reason: String,
}

/// What was done to a tool so that a provider takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolChange {
    /// It is not sent: models cannot call it.
    LeftOut,
    /// Its description is sent in part.
    Cut,
    /// It, or an argument, has another name there. Nothing is lost.
    Mapped,
}

impl fmt::Display for ToolProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left_out = if self.change == ToolChange::LeftOut { "left out: " } else { "" };
        write!(f, "{:?}: {left_out}{}", self.tool, self.reason)
    }
}

/// One message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// Instructions. The first ones are the system prompt; a later one keeps its place where the
    /// provider allows it.
    System {
        /// The text.
        content: String,
    },
    /// A message of the user.
    User {
        /// The text.
        content: String,
        /// What is attached. Models get what they read of it, and are told of the rest.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        media: Vec<Media>,
    },
    /// A turn of the model.
    Assistant(AssistantMessage),
    /// The result of a tool call.
    Tool {
        /// The id of the call.
        call_id: String,
        /// The tool's name, for providers that require it here.
        name: String,
        /// The result, as text for the model.
        content: String,
        /// The images and documents of the result.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        media: Vec<Media>,
    },
}

impl Message {
    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::System { content: content.into() }
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::user_with(content, Vec::new())
    }

    /// A user message with images and documents.
    pub fn user_with(content: impl Into<String>, media: Vec<Media>) -> Self {
        Self::User { content: content.into(), media }
    }

    /// The result of a tool call.
    pub fn tool(
        call_id: impl Into<String>,
        name: impl Into<String>,
        content: impl Into<String>,
    ) -> Self {
        Self::tool_with(call_id, name, content, Vec::new())
    }

    /// The result of a tool call with images and documents.
    pub fn tool_with(
        call_id: impl Into<String>,
        name: impl Into<String>,
        content: impl Into<String>,
        media: Vec<Media>,
    ) -> Self {
        Self::Tool { call_id: call_id.into(), name: name.into(), content: content.into(), media }
    }

    /// An assistant message of text only.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::Assistant(AssistantMessage { text: text.into(), ..AssistantMessage::default() })
    }

    /// Its images and documents.
    pub fn media(&self) -> &[Media] {
        match self {
            Self::User { media, .. } | Self::Tool { media, .. } => media,
            Self::System { .. } | Self::Assistant(_) => &[],
        }
    }
}

/// A turn of the model: text, tool calls, or both.
pub type AssistantMessage = model_turn::AssistantMessage<Provider>;

/// A model's thoughts (reasoning), which its provider needs back with the turn that they belong to.
pub type Thoughts = model_turn::Thoughts<Provider>;
