//! Tools that a provider refused by an error that names them. They are sent in simpler words from then
//! on, and if that does not help, not at all. After a while they are tried again as they are. Another
//! definition of the same name is another tool.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use regex::Regex;
use tokio::time::Instant;

use super::ToolForm;
use crate::model::ModelRef;
use crate::provider::failure::{Failure, Meaning};
use crate::request::{Message, ToolSpec};

/// How long a refusal holds: the provider may have been wrong, or mended.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// The most models and, for each, tools that are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// The most tools of one error that are changed.
const MAX_AT_ONCE: usize = 16;

/// The most characters of a provider's message in a reason.
const MAX_REASON: usize = 200;

/// What became of a refused tool; the later one goes further.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::provider) enum Refusal {
    /// Its description is cut.
    Shortened,
    /// Its schema is sent in Gemini's subset.
    Simplified,
    /// It is left out. Holds what the provider said.
    LeftOut(String),
}

impl Refusal {
    /// How the tool is sent from now on, for the log.
    fn in_words(&self) -> &'static str {
        match self {
            Self::Shortened => "with a shorter description",
            Self::Simplified => "with a simpler schema",
            Self::LeftOut(_) => "not at all",
        }
    }
}

/// A tool by its own name and the hash of its definition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::provider) struct Definition {
    name: String,
    hash: u64,
}

impl Definition {
    pub(super) fn of(spec: &ToolSpec) -> Self {
        let mut hasher = DefaultHasher::new();
        spec.description.hash(&mut hasher);
        spec.parameters.hash(&mut hasher);
        Self { name: spec.name.clone(), hash: hasher.finish() }
    }
}

/// The refused tools of one model.
pub(in crate::provider) type Refused = Arc<BTreeMap<Definition, Refusal>>;

/// The refused tools, by model, and since when some are known.
#[derive(Debug, Default)]
pub(in crate::provider) struct RefusedTools(Mutex<HashMap<ModelRef, (Instant, Refused)>>);

impl RefusedTools {
    /// The tools that a model's provider has refused; `None` when there are none.
    pub(in crate::provider) fn of(&self, model: &ModelRef) -> Option<Refused> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, refused) = all.get(model)?;
        if since.elapsed() < REMEMBERED_FOR {
            return Some(refused.clone());
        }
        all.remove(model);
        None
    }

    /// Keeps refusals beside those that others have learned in the meantime.
    pub(in crate::provider) fn keep(&self, model: &ModelRef, refused: Option<Refused>) {
        let Some(refused) = refused else { return };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, known) = match all.get(model) {
            Some((since, known)) => (*since, Some(known)),
            None => (Instant::now(), None),
        };
        if known == Some(&refused) || (all.len() >= MAX_REMEMBERED && known.is_none()) {
            return;
        }
        let mut merged = known.map(|known| (**known).clone()).unwrap_or_default();
        for (tool, refusal) in &*refused {
            let goes_further = merged.get(tool).is_none_or(|known| known < refusal);
            let has_room = merged.len() < MAX_REMEMBERED || merged.contains_key(tool);
            if goes_further && has_room {
                tracing::warn!(
                    %model,
                    tool = tool.name,
                    now = refusal.in_words(),
                    "the provider refused a tool; how it is sent from now on"
                );
                merged.insert(tool.clone(), refusal.clone());
            }
        }
        if known.is_none_or(|known| **known != merged) {
            all.insert(model.clone(), (since, Arc::new(merged)));
        }
    }
}

/// The refusals after a refused request; `None` when its error names no tool, or none that can be sent in
/// another way. `failure` is without secrets, and `body` is that of the error; `form_of` makes the form
/// after some refusals.
pub(in crate::provider) fn after(
    known: Option<&Refused>,
    failure: &Failure,
    body: &[u8],
    form: &ToolForm,
    form_of: impl Fn(&Refused) -> Arc<ToolForm>,
) -> Option<Refused> {
    let is_refusal = matches!(
        failure.meaning(),
        Some(
            Meaning::ToolSchemaRefused
                | Meaning::ParameterRefused
                | Meaning::Malformed
                | Meaning::Unknown
        )
    );
    if !is_refusal || !matches!(failure.status, Some(400 | 422)) {
        return None;
    }
    let error = Failure::lines_of(body);
    let said: String = failure.said().chars().take(MAX_REASON).collect();
    let is_too_long = error.contains("description")
        && ["too long", "at most", "maximum length", "exceed", "longer than"]
            .iter()
            .any(|words| error.to_lowercase().contains(words));
    let mut refused = known.cloned().unwrap_or_default();
    let mut is_new = false;
    for tool in form.named_in(&error).into_iter().take(MAX_AT_ONCE) {
        let steps = match refused.get(tool) {
            None if is_too_long => vec![Refusal::Shortened, Refusal::LeftOut(said.clone())],
            None if !form.rules.plain => {
                vec![Refusal::Simplified, Refusal::LeftOut(said.clone())]
            }
            Some(Refusal::LeftOut(_)) => continue,
            _ => vec![Refusal::LeftOut(said.clone())],
        };
        if refused.len() >= MAX_REMEMBERED && !refused.contains_key(tool) {
            continue;
        }
        // A step that changes nothing of the request would be refused again.
        let after = |step: Refusal| {
            let mut more = (*refused).clone();
            more.insert(tool.clone(), step);
            Arc::new(more)
        };
        let before = form_of(&refused);
        let helps = |more: &Refused| form_of(more).json() != before.json();
        if let Some(more) = steps.into_iter().map(after).find(helps) {
            (refused, is_new) = (more, true);
        }
    }
    is_new.then_some(refused)
}

/// Whether somebody wrote in the conversation what looks like an error that names a tool.
pub(in crate::provider) fn speaks_of_tools(messages: &[Message]) -> bool {
    messages.iter().any(|message| {
        let text = match message {
            Message::System { content }
            | Message::User { content, .. }
            | Message::Tool { content, .. } => content,
            Message::Assistant(turn) => &turn.text,
        };
        !places(text).is_empty() || !names(text).is_empty()
    })
}

/// The places of the tools that an error names in the list that was sent, such as
/// `tools[0].function_declarations[16].parameters` (Gemini), `tools.14.custom.input_schema`
/// (Anthropic), `tools[5].function.description` (OpenAI, Groq).
pub(super) fn places(error: &str) -> Vec<usize> {
    static GEMINI: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?i)function_?declarations\[(\d+)\]").ok());
    static OTHERS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:^|[^a-zA-Z_.])tools(?:\[(\d+)\]|\.(\d+)\.)").ok());
    let found = |pattern: &Option<Regex>| -> Vec<usize> {
        let all = pattern.iter().flat_map(|pattern| pattern.captures_iter(error));
        let numbers = all.filter_map(|found| found.get(1).or_else(|| found.get(2)));
        numbers.filter_map(|number| number.as_str().parse().ok()).collect()
    };
    // Gemini's own list of tools has one entry with all declarations.
    let gemini = found(&GEMINI);
    if gemini.is_empty() && !error.to_ascii_lowercase().contains("declarations") {
        return found(&OTHERS);
    }
    gemini
}

/// The names of tools in an error, such as `Invalid schema for function 'x'` (OpenAI), `invalid JSON
/// schema for tool x` (Groq), `` `x` functionDeclaration `` (Vertex AI).
pub(super) fn names(error: &str) -> Vec<&str> {
    static NAMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"(?i)schema for (?:function|tool) \\?['"`]?([a-z0-9_-]{1,64})"#,
            r"|`([a-zA-Z0-9_-]{1,64})` functionDeclaration"
        ))
        .ok()
    });
    let all = NAMES.iter().flat_map(|pattern| pattern.captures_iter(error));
    all.filter_map(|found| found.get(1).or_else(|| found.get(2)))
        .map(|name| name.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Provider;

    #[test]
    fn what_calls_learn_at_the_same_time_is_all_kept_and_the_later_step_counts() {
        let (learned, model) = (RefusedTools::default(), ModelRef::new(Provider::OpenAi, "m"));
        let tool = |name: &str, description: &str| {
            let parameters = json!({ "type": "object" });
            let (name, description) = (name.to_owned(), description.to_owned());
            Definition::of(&ToolSpec { name, description, parameters })
        };
        let out = || Refusal::LeftOut("no".to_owned());
        let keep = |tool: &Definition, refusal: Refusal| {
            learned.keep(&model, Some(Arc::new(BTreeMap::from([(tool.clone(), refusal)]))));
        };
        let (a, b) = (tool("a", "A."), tool("b", "B."));
        keep(&a, out());
        keep(&b, Refusal::Simplified);
        keep(&a, Refusal::Simplified);
        let kept = learned.of(&model).unwrap();
        assert_eq!(kept.get(&a), Some(&out()));
        assert_eq!(kept.get(&b), Some(&Refusal::Simplified));
        assert_eq!(kept.get(&tool("a", "Another.")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_does_not_hold_forever() {
        let (learned, model) = (RefusedTools::default(), ModelRef::new(Provider::OpenAi, "m"));
        let spec = ToolSpec {
            name: "a".to_owned(),
            description: "A.".to_owned(),
            parameters: json!({ "type": "object" }),
        };
        let refused = BTreeMap::from([(Definition::of(&spec), Refusal::Simplified)]);
        learned.keep(&model, Some(Arc::new(refused)));
        tokio::time::advance(REMEMBERED_FOR / 2).await;
        assert!(learned.of(&model).is_some());
        tokio::time::advance(REMEMBERED_FOR / 2).await;
        assert!(learned.of(&model).is_none());
    }

    #[test]
    fn what_somebody_writes_of_tools_is_seen() {
        for (text, is_seen) in [
            ("why does tools[0] fail?", true),
            ("Invalid schema for function 'list_tasks'", true),
            ("bring the tools, all of them", false),
            ("", false),
        ] {
            assert_eq!(speaks_of_tools(&[Message::user(text)]), is_seen, "{text}");
        }
    }

    #[test]
    fn errors_name_tools_by_place_or_name() {
        for (error, wanted) in [
            ("tools.14.custom.input_schema.properties: Property keys should match", vec![14]),
            ("Invalid 'tools[5].function.description': string too long.", vec![5]),
            ("* GenerateContentRequest.tools[0].function_declarations[18].name: Invalid", vec![18]),
            ("tools[0].function_declarations: [FIELD_INVALID] At most 512 function", vec![]),
            (r#"{"error":{"param":"tools[1].parameters"}}"#, vec![1]),
            ("messages.3.content.0.tools.1.x: no", vec![]),
            ("'tools' : maximum number of items is 128", vec![]),
        ] {
            assert_eq!(places(error), wanted, "{error}");
        }
        for (error, wanted) in [
            ("Invalid schema for function 'a_b': x is not a 'regex'.", vec!["a_b"]),
            (
                "invalid JSON schema for tool a, tools[24].function.parameters: 'required'",
                vec!["a"],
            ),
            (
                "Unable to submit request because `e-1` functionDeclaration `parameters.x`",
                vec!["e-1"],
            ),
            ("parameters for tool web_search did not match schema", vec![]),
        ] {
            assert_eq!(names(error), wanted, "{error}");
        }
    }
}
