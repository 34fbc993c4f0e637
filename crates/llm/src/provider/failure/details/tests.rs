use super::*;

fn parse(body: &str) -> ErrorDetails {
    ErrorDetails::parse(body.as_bytes())
}

#[test]
fn the_sentence_is_found_in_every_shape() {
    for body in [
        r#"{"error":{"message":"why","type":"t"}}"#,
        r#"[{"error":{"message":"why"}}]"#,
        r#"{"error":"why"}"#,
        r#"{"code":"Bad","error":"why"}"#,
        r#"{"message":"why"}"#,
        r#"{"detail":"why"}"#,
        r#"{"detail":[{"loc":["body","x"],"msg":"why","type":"t"}]}"#,
        r#"{"object":"error","message":{"detail":[{"msg":"why"}]}}"#,
        r#"{"errors":[{"message":"why"}]}"#,
        r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"why\"}}"}}}"#,
        r#"{"error":{"message":"Provider returned error","metadata":{"raw":"why"}}}"#,
        r#"{"error":{"message":"Provider returned error","metadata":{"raw":{"detail":"why"}}}}"#,
        r#"{"error":{"message":"litellm.BadRequestError: XException - {\"error\":{\"message\":\"why\"}}. Received Model Group=m"}}"#,
        r#"{"error":{"message":"{\n \"error\": {\"message\": \"{\\\"error\\\":\\\"why\\\"}\"}}"}}"#,
        r#""why""#,
        "why",
        "data: {\"error\":{\"message\":\"why\"}}\n\n",
        "<html><head><title>why</title></head><body>x</body></html>",
        "<b>why</b>",
    ] {
        assert_eq!(parse(body).sentence(), "why", "{body}");
    }
    for body in ["", "{}", "[]", "null", "7", "[[[[[[[[[[[[\"x\"]]]]]]]]]]]"] {
        let sentence = parse(body).sentence();
        assert!(sentence.is_empty() || body.contains('x'), "{body}: {sentence}");
    }
}

#[test]
fn codes_statuses_and_parameters_are_found() {
    let found = parse(
        r#"{"type":"error","error":{"code":"400","status":"INVALID_ARGUMENT","param":"tools","details":[
            {"@type":"x","reason":"API_KEY_INVALID"},{"@type":"x","fieldViolations":[{"field":"generation_config.temperature"}]},
            {"@type":"x","retryDelay":"34.5s"},{"@type":"x","violations":[{"quotaId":"PerDay"}]}]}}"#,
    );
    assert_eq!(found.statuses, [400]);
    assert_eq!(found.codes, ["invalid_argument", "api_key_invalid", "perday"]);
    assert_eq!(found.param.as_deref(), Some("generation_config.temperature"));
    assert_eq!(found.retry_after, Some(Duration::from_millis(34_500)));
    let found = parse(r#"{"detail":[{"loc":["body","tools",0,"name"],"msg":"m","type":"extra"}]}"#);
    assert_eq!(found.param.as_deref(), Some("tools.0.name"));
    let found = parse(r#"{"error":{"code":1113,"message":"(ThrottlingException) x"}}"#);
    assert_eq!(found.codes, ["1113", "throttlingexception"]);
}

#[test]
fn what_the_model_or_a_person_wrote_is_no_message() {
    let found = parse(
        r#"{"error":{"message":"failed","failed_generation":"credit balance is too low"},
            "detail":[{"msg":"m","input":"credit balance is too low"}]}"#,
    );
    assert!(found.texts.iter().all(|text| !text.contains("credit")), "{:?}", found.texts);
    for (message, told) in [
        (
            "[{'type': 'missing', 'loc': ('body', 'messages', 2), 'msg': 'Field required', \
             'input': {'role': 'user', 'content': 'My credit balance is too low'}}]",
            "[{'type': 'missing', 'loc': ('body', 'messages', 2), 'msg': 'Field required'",
        ),
        (
            "1 validation error for Body Field required [type=missing, input_value={'content': \
             'My credit balance is too low'}, input_type=dict]",
            "1 validation error for Body Field required [type=missing,",
        ),
        (
            r#"Failed to parse input at pos 12: <tool_call>{"error":"Your credit is too low"}"#,
            "Failed to parse input at pos 12",
        ),
        (
            r#"error parsing tool call: raw='{"error":"credit is too low"', err=unexpected end"#,
            "error parsing tool call:",
        ),
        (
            r#"Failed to parse tool call arguments as JSON: syntax error; last read: '"credit'"#,
            "Failed to parse tool call arguments as JSON: syntax error",
        ),
    ] {
        for body in [message.to_owned(), serde_json::json!({ "message": message }).to_string()] {
            assert_eq!(parse(&body).sentence(), told, "{body}");
        }
    }
}

#[test]
fn an_exception_that_somebody_asks_about_is_no_code() {
    for message in [
        "Invalid message content: 'why do I get ThrottlingException?'",
        "Invalid message content: 'why (ThrottlingException)?'",
        "Tool 'x' failed with ThrottlingException: no",
    ] {
        assert!(parse(message).codes.is_empty(), "{message}");
    }
    for (message, code) in [
        ("ThrottlingException: Too many", "throttlingexception"),
        ("An error occurred (ThrottlingException) when calling", "throttlingexception"),
        ("litellm.RateLimitError: RateLimitError: OpenAIException - no", "ratelimiterror"),
    ] {
        assert_eq!(parse(message).codes, [code], "{message}");
    }
}
