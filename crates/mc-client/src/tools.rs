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

impl AgentClient {
    /// The tools that the backend offers this user's agent.
    pub async fn backend_tools(&self) -> Result<Vec<BackendTool>, McError> {
        #[derive(Deserialize)]
        struct Answer {
            tools: Vec<BackendTool>,
        }
        let answer: Answer = self.caller.fetch(Call::get(TOOLS)).await?;
        Ok(answer.tools)
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
