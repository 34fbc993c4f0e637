use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::*;
use crate::model::Provider;
use crate::request::{ResponseSchema, ToolChoice, ToolSpec};

fn request() -> LlmRequest {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: "d".to_owned(),
        parameters: json!({ "type": "object" }),
    };
    LlmRequest {
        model: ModelRef::new(Provider::OpenAi, "m"),
        messages: Vec::new(),
        tools: vec![tool("schema"), tool("temperature")].into(),
        tool_choice: ToolChoice::Auto,
        max_output_tokens: Some(100_000),
        temperature: Some(0.2),
        response_schema: Some(ResponseSchema::new("result", json!({})).into()),
    }
}

fn after(status: u16, body: &Value) -> Option<Quirks> {
    let status = StatusCode::from_u16(status).unwrap();
    let body = body.to_string();
    let failure =
        Failure::of_response(Provider::OpenAi, status, &HeaderMap::new(), body.as_bytes());
    Quirks::default().after(&request(), &failure)
}

fn said(message: &str) -> Value {
    json!({ "error": { "message": message } })
}

fn with(change: impl FnOnce(&mut Quirks)) -> Option<Quirks> {
    let mut quirks = Quirks::default();
    change(&mut quirks);
    Some(quirks)
}

#[test]
fn what_the_error_names_is_left_out() {
    let named = |param: &str, message: &str| json!({ "error": { "message": message, "param": param, "code": "unsupported_value" } });
    let temperature = with(|quirks| quirks.no_temperature = true);
    let stream = with(|quirks| quirks.no_stream_options = true);
    let choice = with(|quirks| quirks.no_tool_choice = true);
    let answer = with(|quirks| quirks.no_answer_schema = true);
    let plain = with(|quirks| quirks.plain_schemas = true);
    for (body, expected) in [
        (named("temperature", "no"), temperature),
        (said("`temperature` is deprecated for this model."), temperature),
        (
            said("Unsupported parameter: 'temperature' is not supported with this model."),
            temperature,
        ),
        (said("temperature: Extra inputs are not permitted"), temperature),
        (
            json!({ "detail": [{ "type": "extra_forbidden", "loc": ["body", "stream_options"],
                "msg": "Extra inputs are not permitted" }] }),
            stream,
        ),
        (said("Unrecognized request argument supplied: stream_options"), stream),
        (said("Unknown field 'tool_choice'"), None),
        (said("unknown parameter: 'tool_choice'"), choice),
        (said("Invalid schema for response_format 'result': no"), answer),
        (said("This response_format type is unavailable now"), answer),
        (named("response_format.json_schema.schema", "no"), answer),
        (named("tools[0].parameters", "no"), plain),
        (named("tools.0.custom.input_schema", "no"), plain),
        (said("Invalid schema for function 'schema': no"), plain),
        (said("JSON schema conversion failed: Unrecognized schema"), plain),
    ] {
        let expected = if body == said("Unknown field 'tool_choice'") { choice } else { expected };
        assert_eq!(after(400, &body), expected, "{body}");
    }
}

/// llama-cpp-python 0.3.36.
#[test]
fn a_printed_validation_error_names_the_parameter_and_the_form_that_is_taken() {
    let refused = |place: &str, why: &str| {
        said(&format!(
            "1 validation error: {{'type': 'literal_error', 'loc': ('body', {place}), 'msg': \"{why}\", 'input': 'x'}}"
        ))
    };
    let format = refused("'response_format', 'type'", "Input should be 'text' or 'json_object'");
    let object = after(500, &format).unwrap();
    assert_eq!(Some(object), with(|quirks| quirks.schema_of_object = true));
    let schema = json!({ "type": "object" });
    let wanted = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let mut body = json!({ "response_format": wanted });
    object.trim(&mut body);
    assert_eq!(body["response_format"], json!({ "type": "json_object", "schema": schema }));
    let status = StatusCode::from_u16(500).unwrap();
    let again = Failure::of_response(
        Provider::OpenAi,
        status,
        &HeaderMap::new(),
        format.to_string().as_bytes(),
    );
    let none = object.after(&request(), &again).unwrap();
    none.trim(&mut body);
    assert_eq!(body.get("response_format"), None);
    let temperature = with(|quirks| quirks.no_temperature = true);
    assert_eq!(after(500, &refused("'temperature'", "Input should be 1")), temperature);
    assert_eq!(after(500, &refused("'frequency_penalty'", "Input should be 1")), None);
}

/// llama-cpp-python 0.3.36, which names each form that a message may have.
#[test]
fn a_turn_without_a_content_gets_an_empty_one_where_that_is_refused() {
    let refused = |input: &str| {
        said(&format!(
            "2 validation errors:\n  {{'type': 'literal_error', 'loc': ('body', 'messages', 1, 'ChatCompletionRequestUserMessage', 'role'), 'msg': \"Input should be 'user'\", 'input': 'assistant'}}\n  {{'type': 'string_type', 'loc': ('body', 'messages', 1, 'ChatCompletionRequestAssistantMessage', 'content'), 'msg': 'Input should be a valid string', 'input': {input}}}"
        ))
    };
    let empty = with(|quirks| quirks.no_null_content = true);
    assert_eq!(after(500, &refused("None")), empty);
    assert_eq!(after(500, &refused("1")), None);
    let listed = json!({ "detail": [{ "type": "string_type", "loc": ["body", "messages", 1, "content"],
        "msg": "Input should be a valid string", "input": null }] });
    assert_eq!(after(422, &listed), empty);
}

#[test]
fn words_in_an_unrelated_error_change_nothing() {
    for body in [
        said("messages.3: tool 'schema' was called but has no result"),
        said(
            "Invalid value: 'messages[2].content': \"the temperature and the schema of parameters\"",
        ),
        said("The parameters of this request are wrong: the schema of things"),
        said("Tool 'temperature' not found in the schema"),
        said("function_declarations are a fine thing"),
        said("My schema is a temperature."),
        json!({ "error": { "message": "Invalid 'tools[0].name': bad", "param": "tools[0].name", "code": "invalid_value" } }),
        json!({ "error": { "message": "temperature schema", "code": "content_filter" } }),
        said("Your credit balance is too low for this schema"),
    ] {
        assert_eq!(after(400, &body), None, "{body}");
    }
    assert_eq!(after(500, &said("temperature: overheated schema")), None);
}

#[test]
fn a_limit_is_learned_from_the_number() {
    let learned = |limit| with(|quirks| quirks.output_limit = Some(limit));
    for (message, expected) in [
        (
            "max_tokens is too large: 100000. This model supports at most 16384 completion tokens, \
             whereas you provided 100000.",
            learned(16_384),
        ),
        (
            "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for \
             claude-sonnet-4-20250514",
            learned(64_000),
        ),
        (
            "max_tokens for `llama-3.1-8b-instant` must be less than or equal to 8000",
            learned(8_000),
        ),
        (
            "Unable to submit request because it has a maxOutputTokens value of 100000 but the \
             supported range is from 1 (inclusive) to 65537 (exclusive).",
            learned(65_536),
        ),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8,192]", learned(8_192)),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 100000. This model's maximum \
             context length is 32768 tokens and your request has 1000 input tokens (100000 > 32768 - \
             1000).",
            with(|quirks| quirks.output_left = Some(31_768)),
        ),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use \
             'max_completion_tokens' instead.",
            with(|quirks| quirks.limit_name = Some(LimitName::MaxCompletionTokens)),
        ),
        ("max_tokens must be at most 4096 (request 8123)", learned(4_096)),
        ("max_tokens is too large.", None),
    ] {
        assert_eq!(after(400, &said(message)), expected, "{message}");
    }
}

#[test]
fn what_is_known_does_not_excuse_the_same_refusal_again() {
    let known = with(|quirks| quirks.no_temperature = true).unwrap();
    let body = json!({ "error": { "param": "temperature", "code": "unsupported_value" } });
    let failure = Failure::of_response(
        Provider::OpenAi,
        StatusCode::BAD_REQUEST,
        &HeaderMap::new(),
        body.to_string().as_bytes(),
    );
    assert_eq!(known.after(&request(), &failure), None);
}

#[test]
fn only_a_lower_limit_than_the_known_one_is_learned() {
    let known = with(|quirks| quirks.output_limit = Some(4_096)).unwrap();
    for (limit, expected) in [(9_000, None), (4_096, None), (2_048, Some(2_048))] {
        let body = said(&format!("max_tokens must be at most {limit} tokens")).to_string();
        let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
        let failure = Failure::of_response(Provider::OpenAi, status, &headers, body.as_bytes());
        let more = known.after(&request(), &failure);
        assert_eq!(more.and_then(|more| more.output_limit), expected, "{limit}");
    }
}

#[test]
fn what_calls_learn_at_the_same_time_is_all_kept() {
    let learned = LearnedQuirks::default();
    let model = ModelRef::new(Provider::OpenAi, "m");
    learned.keep(&model, with(|quirks| quirks.no_temperature = true).unwrap());
    learned.keep(&model, with(|quirks| quirks.output_limit = Some(100)).unwrap());
    learned.keep(&model, with(|quirks| quirks.output_limit = Some(200)).unwrap());
    learned.keep(&model, with(|quirks| quirks.no_thoughts = true).unwrap());
    let expected = Quirks { no_temperature: true, output_limit: Some(100), ..Quirks::default() };
    assert_eq!(learned.of(&model), expected);
}

#[test]
fn a_body_is_trimmed_in_every_protocol() {
    let quirks = Quirks {
        no_answer_schema: true,
        no_stream_options: true,
        no_tool_choice: true,
        output_limit: Some(10),
        ..Quirks::default()
    };
    for (mut body, expected) in [
        (
            json!({ "max_tokens": 20, "stream_options": {}, "tool_choice": "none", "response_format": {} }),
            json!({ "max_tokens": 10 }),
        ),
        (
            json!({ "max_output_tokens": 5, "text": { "format": {} } }),
            json!({ "max_output_tokens": 5, "text": {} }),
        ),
        (
            json!({ "generationConfig": { "maxOutputTokens": 20, "responseSchema": {}, "responseMimeType": "x" } }),
            json!({ "generationConfig": { "maxOutputTokens": 10 } }),
        ),
    ] {
        quirks.trim(&mut body);
        assert_eq!(body, expected);
    }
}
