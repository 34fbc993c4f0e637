//! The steps of a run as the page shows them, read by the types that the daemon writes them with.

use chrono::{DateTime, Utc};
use mc_client::steps::{
    LLM, LLM_REJECTED, LlmStep, PromptReport, REQUEST, RequestStep, TOOL, ToolStep, endpoint_of,
};
use model_turn::{AssistantMessage, Completion, Cost, FinishReason, Usage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The most characters that stay of a text of which only the beginning is kept.
const CUT: usize = 300;

/// A step of a run as the page shows it.
pub struct StepRow {
    /// Its place.
    pub index: u32,
    /// Its kind.
    pub kind: String,
    /// What it holds.
    pub content: StepContent,
    /// The same as it was written; `None` where only the figures are kept.
    pub raw: Option<Value>,
    /// When it was written.
    pub at: Option<DateTime<Utc>>,
}

impl StepRow {
    /// Whether it is an answer of the model, of use or not.
    pub(crate) fn is_answer(&self) -> bool {
        [LLM, LLM_REJECTED].contains(&self.kind.as_str())
    }

    /// Whether it is an answer of which no use could be made.
    pub(crate) fn is_rejected(&self) -> bool {
        self.kind == LLM_REJECTED
    }
}

/// What a step holds. Fields that it lacks are empty.
pub enum StepContent {
    /// The request: its message, and that as the model saw it.
    Request(Box<RequestStep<Value>>),
    /// An answer of the model.
    Model(Box<LlmStep<String>>),
    /// A tool's result.
    Tool(Box<ToolStep>),
    /// A kind that the page does not know, or something that cannot be read.
    Other,
}

impl StepContent {
    /// Reads a step's payload.
    pub(crate) fn read(kind: &str, payload: &Value) -> Self {
        let found = match kind {
            REQUEST => over(&no_request(), payload).map(|step| Self::Request(Box::new(step))),
            LLM | LLM_REJECTED => {
                over(&no_answer(), payload).map(|step| Self::Model(Box::new(step)))
            }
            TOOL => over(&ToolStep { ok: true, ..ToolStep::default() }, payload)
                .map(|step| Self::Tool(Box::new(step))),
            _ => None,
        };
        found.unwrap_or(Self::Other)
    }

    /// The same without its long texts: what its line on the page needs.
    pub(crate) fn cut(self) -> Self {
        let begin = |text: &str| text.chars().take(CUT).collect::<String>();
        match self {
            Self::Request(_) => Self::Request(Box::new(no_request())),
            Self::Model(mut step) => {
                step.completion.message = AssistantMessage::default();
                step.completion.model = begin(&step.completion.model);
                step.definitions.clear();
                Self::Model(step)
            }
            Self::Tool(step) => {
                let (method, path) = endpoint_of(&step.arguments).unwrap_or_default();
                let arguments = Map::from_iter([
                    ("method".to_owned(), begin(method).into()),
                    ("path".to_owned(), begin(path).into()),
                ]);
                Self::Tool(Box::new(ToolStep {
                    name: begin(&step.name),
                    arguments: arguments.into(),
                    ok: step.ok,
                    duration_ms: step.duration_ms,
                    ..ToolStep::default()
                }))
            }
            Self::Other => Self::Other,
        }
    }
}

/// A payload in whose place these values stand where it has none: a page shows what there is.
fn over<T: Serialize + DeserializeOwned>(nothing: &T, payload: &Value) -> Option<T> {
    let mut whole = serde_json::to_value(nothing).ok()?;
    lay(&mut whole, payload);
    serde_json::from_value(whole).ok()
}

fn lay(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above.clone(),
    }
}

fn no_request() -> RequestStep<Value> {
    RequestStep {
        message: String::new(),
        history: Vec::new(),
        newest: String::new(),
        metadata: Map::new(),
        limits: Value::Null,
        workspace_digest: String::new(),
        fingerprint: String::new(),
        task: Value::Null,
        task_id: String::new(),
        output: None,
        attachments: Vec::new(),
        files: Vec::new(),
        detached: None,
        parent: None,
        memories: Vec::new(),
        memory_warning: None,
        workspace: None,
        profile_digest: None,
        tools_offered: Vec::new(),
        tools_refused: Vec::new(),
    }
}

/// An answer of which nothing is known, its price neither.
fn no_answer() -> LlmStep<String> {
    LlmStep {
        completion: Completion {
            message: AssistantMessage::default(),
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            model: String::new(),
            provider: String::new(),
        },
        cost: Some(Cost::unknown("", &Usage::default())),
        prompt: PromptReport::default(),
        duration_ms: 0,
        definitions: std::collections::BTreeMap::new(),
        files: std::collections::BTreeMap::new(),
        errors: Vec::new(),
        shown: None,
        workspace: None,
        profile_digest: None,
        first_event: None,
        last_event: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_step_lacks_is_empty_and_its_price_unknown() {
        let StepContent::Model(step) = StepContent::read("llm", &json!({ "duration_ms": 3 }))
        else {
            panic!("an answer of the model")
        };
        assert_eq!((step.duration_ms, step.completion.usage.prompt_tokens), (3, 0));
        assert!(!step.cost.unwrap().known);
        for (kind, payload) in [
            ("llm", json!("text")),
            ("llm", json!({ "cost": { "totalCost": "much" } })),
            ("tool", json!([])),
            ("other", json!({})),
        ] {
            let found = StepContent::read(kind, &payload);
            assert!(matches!(found, StepContent::Other), "{kind} {payload}");
        }
    }

    #[test]
    fn of_a_step_that_is_cut_the_figures_stay() {
        let tool = json!({
            "name": "n".repeat(1_000), "ok": false, "duration_ms": 3, "content": "long",
            "arguments": { "method": "GET", "path": "/x".repeat(400), "body": "long" }
        });
        let StepContent::Tool(step) = StepContent::read("tool", &tool).cut() else {
            panic!("a tool's result")
        };
        let arguments = json!({ "method": "GET", "path": "/x".repeat(150) });
        assert_eq!((step.name.len(), step.ok, step.duration_ms), (300, false, 3));
        assert_eq!((&step.arguments, step.content.as_str()), (&arguments, ""));
        let model = json!({
            "completion": { "usage": { "prompt_tokens": 7 }, "message": { "text": "long" }, "model": "m" },
            "cost": { "totalCost": 0.5, "known": true }, "prompt": { "messages": 2 }
        });
        let StepContent::Model(step) = StepContent::read("llm_rejected", &model).cut() else {
            panic!("an answer of the model")
        };
        assert_eq!((step.completion.message.text.as_str(), step.prompt.messages), ("", 2));
        assert_eq!(step.completion.usage.prompt_tokens, 7);
        assert_eq!(step.cost.unwrap().total_cost, 0.5);
    }
}
