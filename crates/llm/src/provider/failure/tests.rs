use super::*;

fn kind(provider: Provider, status: u16, body: &str) -> (LlmErrorKind, bool) {
    let status = StatusCode::from_u16(status).unwrap();
    let failure = Failure::of_response(provider, status, &HeaderMap::new(), body.as_bytes());
    (failure.kind, failure.retryable)
}

#[test]
fn the_kinds_of_failure_are_told_apart() {
    use LlmErrorKind::{
        Auth, ContentFiltered, ContextTooLong, InvalidRequest, QuotaExhausted, Unavailable,
    };
    use Provider::{Anthropic, Google, Mistral, OpenAi, OpenRouter, Xai};
    let auth = |variable| Auth { variable: Some(variable) };
    for (provider, status, body, expected) in [
        (
            OpenAi,
            401,
            r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#,
            auth("OPENAI_API_KEY"),
        ),
        (
            Google,
            400,
            r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#,
            auth("GEMINI_API_KEY"),
        ),
        (
            Xai,
            400,
            r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: xa***."}"#,
            auth("XAI_API_KEY"),
        ),
        (
            Anthropic,
            403,
            r#"{"type":"error","error":{"type":"permission_error","message":"no"}}"#,
            auth("ANTHROPIC_API_KEY"),
        ),
        (
            OpenAi,
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            QuotaExhausted,
        ),
        (
            Google,
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED"}}"#,
            QuotaExhausted,
        ),
        (
            Google,
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"7s"}]}}"#,
            Unavailable,
        ),
        (
            Anthropic,
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the API."}}"#,
            QuotaExhausted,
        ),
        (
            OpenRouter,
            402,
            r#"{"error":{"code":402,"message":"Insufficient credits"}}"#,
            QuotaExhausted,
        ),
        (
            OpenAi,
            400,
            r#"{"error":{"message":"This model's maximum context length is 128000 tokens.","code":"context_length_exceeded"}}"#,
            ContextTooLong,
        ),
        (
            Anthropic,
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 201 tokens > 200 maximum"}}"#,
            ContextTooLong,
        ),
        (
            Anthropic,
            413,
            r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
            ContextTooLong,
        ),
        (
            Google,
            400,
            r#"{"error":{"code":400,"message":"The input token count (2000000) exceeds the maximum number of tokens allowed (1048575).","status":"INVALID_ARGUMENT"}}"#,
            ContextTooLong,
        ),
        (
            OpenAi,
            400,
            r#"{"error":{"message":"filtered","code":"content_filter"}}"#,
            ContentFiltered,
        ),
        (
            OpenAi,
            400,
            r#"{"error":{"message":"x","innererror":{},"code":"content_policy_violation"}}"#,
            ContentFiltered,
        ),
        (
            OpenAi,
            400,
            r#"{"error":{"message":"Unsupported parameter","code":"unsupported_parameter"}}"#,
            InvalidRequest,
        ),
        (
            OpenAi,
            404,
            r#"{"error":{"message":"The model does not exist","code":"model_not_found"}}"#,
            InvalidRequest,
        ),
        (Mistral, 422, r#"{"detail":[{"loc":["body"],"msg":"extra"}]}"#, InvalidRequest),
        (OpenAi, 307, "", InvalidRequest),
        (OpenAi, 413, "<html>nginx</html>", InvalidRequest),
    ] {
        let retryable = expected == Unavailable;
        assert_eq!(kind(provider, status, body), (expected, retryable), "{status} {body}");
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        assert_eq!(kind(Provider::OpenAi, status, ""), (LlmErrorKind::Unavailable, true));
    }
    for status in [501, 505, 520] {
        assert_eq!(kind(Provider::OpenAi, status, ""), (LlmErrorKind::Unavailable, false));
    }
}

#[test]
fn an_error_inside_of_a_success_has_the_status_it_stands_for() {
    for (error, status) in [
        (serde_json::json!({"type": "overloaded_error", "message": "Overloaded"}), 529),
        (serde_json::json!({"code": 502, "message": "upstream"}), 502),
        (serde_json::json!({"error": {"type": "rate_limit_error"}}), 429),
        (serde_json::json!({"code": "server_error"}), 500),
    ] {
        let failure = Failure::of_error_object(Provider::OpenRouter, &error);
        assert_eq!((failure.status, failure.retryable), (Some(status), true), "{error}");
    }
}

#[test]
fn the_caller_is_told_a_code_but_not_the_providers_text() {
    let body = br#"{"error":{"message":"bad sk-canary","code":"unsupported_parameter"}}"#;
    let failure =
        Failure::of_response(Provider::OpenAi, StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
    let error = failure.into_error(Provider::OpenAi);
    assert_eq!(error.message, "openai rejected the request: HTTP 400 (unsupported_parameter).");
    let body = br#"{"error":{"message":"m","code":"sk-canary-1"}}"#;
    let failure =
        Failure::of_response(Provider::OpenAi, StatusCode::BAD_REQUEST, &HeaderMap::new(), body);
    assert_eq!(failure.code, None);
}

#[test]
fn google_sends_its_retry_delay_in_the_body() {
    let error = serde_json::json!({ "details": [
        { "@type": "type.googleapis.com/google.rpc.Help" },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" },
    ]});
    assert_eq!(google_retry_delay(&error), Some(Duration::from_millis(34_500)));
    assert_eq!(google_retry_delay(&serde_json::json!({ "details": [] })), None);
}
