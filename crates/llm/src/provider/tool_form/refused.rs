//! Tools that a provider refused by an error that names them. They are sent in simpler words from then
//! on, and if that does not help, not at all, for the life of the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;

use super::ToolForm;
use crate::model::ModelRef;

/// The most models and, for each, tools that are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// The most characters of a provider's message in a reason.
const MAX_REASON: usize = 200;

/// What became of a refused tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::provider) enum Refusal {
    /// Its schema is sent in Gemini's subset.
    Simplified,
    /// It is left out. Holds what the provider said.
    LeftOut(String),
}

/// The refused tools of one model, by their own names.
pub(in crate::provider) type Refused = Arc<BTreeMap<String, Refusal>>;

/// The refused tools, by model.
#[derive(Debug, Default)]
pub(in crate::provider) struct RefusedTools(Mutex<HashMap<ModelRef, Refused>>);

impl RefusedTools {
    /// The tools that a model's provider has refused; `None` when there are none.
    pub(in crate::provider) fn of(&self, model: &ModelRef) -> Option<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }

    /// Learns from a refused request; `true` when it should be repeated, because it will differ.
    pub(in crate::provider) fn learn(
        &self,
        model: &ModelRef,
        status: u16,
        error: &[u8],
        form: &ToolForm,
    ) -> bool {
        if !matches!(status, 400 | 422) {
            return false;
        }
        let error = String::from_utf8_lossy(error);
        let named = form.named_in(&error);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.is_empty() || (all.len() >= MAX_REMEMBERED && !all.contains_key(model)) {
            return false;
        }
        let mut refused = all.get(model).map(|known| (**known).clone()).unwrap_or_default();
        let said: String = error.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        let mut is_new = false;
        for tool in named {
            let next = match refused.get(tool) {
                None if !form.rules.plain => Refusal::Simplified,
                None | Some(Refusal::Simplified) => Refusal::LeftOut(said.clone()),
                Some(Refusal::LeftOut(_)) => continue,
            };
            if refused.len() < MAX_REMEMBERED || refused.contains_key(tool) {
                tracing::warn!(%model, tool, refusal = ?next, "provider refused a tool");
                refused.insert(tool.to_owned(), next);
                is_new = true;
            }
        }
        all.insert(model.clone(), Arc::new(refused));
        is_new
    }
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
    use super::*;

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
