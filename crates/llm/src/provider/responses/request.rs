//! Requests: the body without tools, and the tools.

use serde_json::{Map, Value, json};

use super::input::{complete_for_others, input};
use crate::catalog;
use crate::model::ModelRef;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::request::{LlmRequest, ToolChoice};

/// The body of a request, without its tools.
pub(in crate::provider) fn body(
    model: &ModelRef,
    request: &LlmRequest,
    quirks: &Quirks,
    is_own_server: bool,
) -> Value {
    let fixed = catalog::find(model.provider, &model.name).is_some_and(|e| e.fixed_sampling);
    let mut body = Map::new();
    body.insert("model".into(), json!(model.name));
    let takes_parts = is_own_server || catalog::find(model.provider, &model.name).is_some();
    let mut input = input(model.provider, &request.messages, request.sends_tools(), takes_parts);
    if !is_own_server {
        complete_for_others(&mut input);
    }
    body.insert("input".into(), input);
    body.insert("store".into(), json!(false));
    if fixed {
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
    }
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        body.insert("tool_choice".into(), json!("none"));
    }
    if let Some(limit) = output_limit(model, request) {
        body.insert("max_output_tokens".into(), json!(limit));
    }
    if let Some(temperature) = request.temperature_for(model, 2.0)
        && !quirks.no_temperature
    {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        body.insert(
            "text".into(),
            json!({ "format": {
                "type": "json_schema",
                "name": wanted.name,
                "schema": wanted.schema,
                "strict": schema::is_strict(&wanted.schema),
            }}),
        );
    }
    body.insert("stream".into(), json!(true));
    Value::Object(body)
}

/// The output limit of a request: not less than the minimum of the API.
pub(in crate::provider) fn output_limit(model: &ModelRef, request: &LlmRequest) -> Option<u32> {
    request.output_limit(model).map(|limit| limit.max(16))
}

/// Tools in the form of the protocol.
pub(in crate::provider) fn tools(tools: &[WireTool]) -> Value {
    let tools = tools.iter().map(|tool| {
        json!({
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": false,
        })
    });
    tools.collect()
}
