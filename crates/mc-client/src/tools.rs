//! The backend's own tools (feature `tools`).

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::raw::{RawRequest, RawResponse};
use crate::url::segments;

/// The path of the tools; not under Mission Control, because they are the application's.
const TOOLS: &str = "/api/tools";

/// A tool that the backend offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackendTool {
    /// Its name.
    pub name: String,
    /// Its description, for the model.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of its arguments.
    #[serde(default = "anything")]
    pub parameters: Value,
}

fn anything() -> Value {
    json!({ "type": "object" })
}

/// The most tools of a backend.
const MAX_TOOLS: usize = 1_000;

/// The most problems that are told.
const MAX_PROBLEMS: usize = 20;

/// The tools of a backend: a definition that cannot be read costs itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackendTools {
    /// Those that can be read.
    pub tools: Vec<BackendTool>,
    /// What is wrong with others, each with its name and field.
    pub problems: Vec<String>,
}

impl BackendTools {
    /// Reads each definition for itself.
    pub fn read(definitions: Vec<Value>) -> Self {
        let mut read = Self::default();
        let total = definitions.len();
        let mut untold = 0;
        for (at, definition) in definitions.into_iter().take(MAX_TOOLS).enumerate() {
            match read_definition(at, definition) {
                Ok(tool) => read.tools.push(tool),
                Err(problem) if read.problems.len() < MAX_PROBLEMS => read.problems.push(problem),
                Err(_) => untold += 1,
            }
        }
        if untold > 0 {
            read.problems.push(shown::counted(untold, "more problem"));
        }
        if total > MAX_TOOLS {
            let left_out = shown::counted(total - MAX_TOOLS, "tool");
            let text = format!("left out: {left_out}; the limit is {MAX_TOOLS}");
            read.problems.push(text);
        }
        read
    }
}

fn read_definition(at: usize, definition: Value) -> Result<BackendTool, String> {
    let Value::Object(mut fields) = definition else {
        return Err(format!("tool {}: is not an object", at + 1));
    };
    let name = match fields.remove("name") {
        Some(Value::String(name)) => name,
        None => return Err(format!("tool {}: name is missing", at + 1)),
        Some(_) => return Err(format!("tool {}: name must be a string", at + 1)),
    };
    let shown = &name[..name.floor_char_boundary(80)];
    let description = match fields.remove("description") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(_) => return Err(format!("{shown:?}: description must be a string")),
    };
    let parameters = match fields.remove("parameters") {
        None => anything(),
        Some(schema @ (Value::Object(_) | Value::Null)) => schema,
        Some(_) => return Err(format!("{shown:?}: parameters must be an object")),
    };
    Ok(BackendTool { name, description, parameters })
}

impl AgentClient {
    /// The tools that the backend offers this user's agent.
    pub async fn backend_tools(&self) -> Result<BackendTools, McError> {
        #[derive(Deserialize)]
        struct Answer {
            tools: Vec<Value>,
        }
        let answer: Answer = self.caller.fetch(Call::get(TOOLS)).await?;
        Ok(BackendTools::read(answer.tools))
    }

    /// Calls a tool. An error status is an answer here, not an error; at most `max_bytes` of the answer
    /// are read. The key is sent as header `Idempotency-Key`.
    pub async fn call_backend_tool(
        &self,
        name: &str,
        arguments: &Value,
        key: Option<&str>,
        max_bytes: usize,
    ) -> Result<RawResponse, McError> {
        let request = RawRequest {
            method: Method::POST,
            path_and_query: segments(TOOLS, &[name]),
            body: Some(json!({ "arguments": arguments }).into()),
            idempotency_key: key.map(str::to_owned),
            max_bytes,
        };
        self.raw(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_cannot_be_read_costs_itself() {
        let good = || json!({ "name": "good", "parameters": { "type": "object" } });
        for (bad, problem) in [
            (json!(7), "tool 2: is not an object"),
            (json!({}), "tool 2: name is missing"),
            (json!({ "name": 7 }), "tool 2: name must be a string"),
            (json!({ "name": "b", "description": 7 }), "\"b\": description must be a string"),
            (json!({ "name": "b", "parameters": [] }), "\"b\": parameters must be an object"),
        ] {
            let read = BackendTools::read(vec![good(), bad, good()]);
            assert_eq!((read.tools.len(), &read.problems[..]), (2, &[problem.to_owned()][..]));
        }
        let many = BackendTools::read(vec![good(); 1_200]);
        assert_eq!(many.tools.len(), 1_000);
        assert!(many.problems[0].contains("left out: 200 tools;"), "{:?}", many.problems);
        let bad = BackendTools::read(vec![json!(7); 50]);
        assert_eq!((bad.problems.len(), bad.problems[20].as_str()), (21, "30 more problems"));
    }
}
