//! What holds for every provider. Rows of words come before rows of codes and statuses alone, which
//! say less.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    AnswerSchemaRefused, BadSample, ContextTooLong, Filtered, KeyRefused, Malformed,
    ModelUnavailable, Overloaded, ParameterRefused, RateLimited, RegionRefused, RequestTooLarge,
    Spent, TimedOut, ToolSchemaRefused,
};

const HTTP: &str = "https://www.rfc-editor.org/rfc/rfc9110#section-15.5";
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes/api-errors";
const ANTHROPIC: &str = "https://docs.anthropic.com/en/api/errors";
const GOOGLE: &str = "https://cloud.google.com/apis/design/errors#handling_errors";
const LITELLM: &str = "https://docs.litellm.ai/docs/exception_mapping";
const OVERFLOW: &str = "https://github.com/earendil-works/pi/issues/129";
const BILLING: &str = "https://github.com/marcolardera/chatgpt-cli/issues/70";

/// The statuses of a request that the provider refuses.
const REFUSED: &[u16] = &[400, 403, 404, 410, 422];

/// Words of a limit per time, which a wait lifts.
const PER_TIME: &[&str] = &[
    "per minute", "per_minute", "per min", "per second", "per hour", "rate limit", "rate-limit", "tpm", "rpm",
    "try again in", "retry in", "retry after", "requests per", "e.g. check quota", "too many requests",
];

pub(super) const RULES: &[Rule] = &[
    Rule::new(RequestTooLarge, "https://github.com/zeeyado/koassistant.koplugin/issues/106")
        .says(&["request too large", "request is too large", "single request", "larger than the limit"])
        .and(&["per min", "tpm", "rate limit"]),
    Rule::new(Spent, HTTP).statuses(&[402]),
    Rule::new(Spent, BILLING)
        .statuses(&[400, 401, 403, 412, 429])
        .says(&[
            "credit", "quota", "balance", "spend limit", "spending limit", "spending cap", "usage limit",
            "usage cap", "monthly limit", "weekly limit", "daily limit", "billing", "prepaid", "free tier",
            "subscription",
        ])
        .and(&[
            "exceed", "used up", "used all", "insufficient", "exhausted", "depleted", "too low", "reached",
            "run out", "ran out", "out of credit", "not enough", "no remaining", "no credit", "expired",
            "overdue", "past due", "suspended", "not active", "inactive", "negative", "hit your", "over your",
        ])
        .unless(PER_TIME)
        .without_short_wait()
        .outside_quotes(),
    Rule::new(RegionRefused, HTTP).statuses(&[451]),
    Rule::new(RegionRefused, "https://ai.google.dev/gemini-api/docs/available-regions")
        .statuses(&[400, 403, 404])
        .says(&[
            "your country", "your region", "your location", "user location", "this country", "this region",
            "this location", "the region", "in region", "country, region", "country or region", "countries",
            "country/region", "territory", "geographic",
        ])
        .and(&["not supported", "unsupported", "not available", "unavailable", "restricted", "not allowed"])
        .outside_quotes(),
    Rule::new(KeyRefused, OPENAI).statuses(&[400]).says(&[
        "invalid api key", "api key is invalid", "api key is not valid", "api key has expired", "invalid authentication",
        "missing api key",
    ]),
    Rule::new(KeyRefused, OPENAI)
        .statuses(&[401, 403])
        .says(&["api key", "api-key", "api_key", "apikey", "access token", "credentials", "authentication", "authorization header"])
        .and(&[
            "invalid", "incorrect", "not valid", "expired", "revoked", "missing", "disabled", "not found",
            "required", "unauthorized", "failed", "denied", "blocked", "leaked", "malformed", "no ", "not provided",
            "wrong", "permission",
        ])
        .outside_quotes(),
    Rule::new(KeyRefused, HTTP).statuses(&[401]),
    Rule::new(RateLimited, OPENAI)
        .statuses(&[400, 403, 413, 429, 503])
        .says(&["rate limit", "rate-limit", "ratelimit", "too many requests", "throttl", "requests per", "tokens per min", "per minute", "too many concurrent"]),
    Rule::new(Filtered, "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter")
        .statuses(&[400, 403, 422])
        .says(&[
            "content filter", "content_filter", "content policy", "content policies", "content management",
            "usage policy", "usage policies", "usage guidelines", "safety system", "safety filter", "moderation",
            "responsible ai", "prohibited content", "prohibited_content", "sensitive content", "inappropriate content",
            "harmful content", "unsafe content", "safety reasons", "敏感内容",
        ])
        .outside_quotes(),
    Rule::new(ParameterRefused, "https://github.com/OpenHands/OpenHands/issues/11090")
        .statuses(&[400, 422])
        .says(&["max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens", "max_new_tokens", "output tokens", "completion tokens"])
        .and(&["too large", "at most", "less than or equal", "maximum allowed", "range", "must be", "exceeds the model", "greater than", "not supported", "unsupported"])
        .unless(&["context", "prompt", "input"]),
    Rule::new(ContextTooLong, OVERFLOW)
        .statuses(&[400, 413, 422, 500])
        .says(&[
            "context length", "context window", "context size", "context limit", "maximum context", "model length",
            "max_model_len", "max_seq_len", "n_ctx", "prompt length", "input length", "input size", "token count",
            "number of tokens", "token limit", "tokens limit", "input tokens", "prompt tokens", "sequence length",
            "maximum prompt", "prompt is", "input is", "prompt too", "input too", "prompt has", "input has",
            "too many tokens", "conversation is", "conversation too", "上下文", "超长",
        ])
        .and(&[
            "exceed", "too long", "too large", "too many", "too big", "longer than", "greater than", "larger than",
            "more than", "over the", "above the", "beyond", "reduce", "shorten", "truncat", "overflow", "not fit",
            "but the request contains", "limit is #", "maximum is #", "at most #", "only #", "超",
        ])
        .unless(&["per minute", "per day", "per min", "tpm", "rate limit", "please wait", "tool name", "description"])
        .outside_quotes(),
    Rule::new(ContextTooLong, HTTP).statuses(&[413]),
    Rule::new(ModelUnavailable, OPENAI).statuses(REFUSED).says(&[
        "model*not found", "model*does not exist", "model*doesn't exist", "no such model", "unknown model",
        "invalid model", "not a valid model", "unsupported model", "model*decommissioned", "model*been deprecated",
        "model*been retired", "model*been shut down", "model*discontinued", "model*no longer available",
        "model*no longer supported", "access to*model", "access to this model", "model*not available",
        "model*is unavailable", "model*not allowed", "model*not exist", "deployment*not exist", "not found the model",
        "model*is not enabled", "模型不存在",
    ])
    .outside_quotes(),
    Rule::new(BadSample, "https://console.groq.com/docs/errors").statuses(&[400, 422, 500, 502]).says(&[
        "model*generated*invalid", "model*produced*invalid", "model*returned*invalid*call", "generated*could not be parsed",
        "failed to generate valid", "failed to parse*tool call", "could not parse*tool call", "unable to parse*tool call",
        "invalid tool call generated", "malformed function call", "model called a tool",
    ]),
    Rule::new(AnswerSchemaRefused, "https://github.com/prism-php/prism/pull/813")
        .statuses(&[400, 404, 422, 500])
        .says(&["response_format", "json_schema", "response schema", "structured output", "text.format"])
        .and(&["not supported", "unsupported", "not support", "invalid", "unavailable", "not available", "must be"]),
    Rule::new(ToolSchemaRefused, "https://github.com/zed-industries/zed/issues/44875")
        .statuses(&[400, 422])
        .says(&[
            "invalid tool schema", "invalid function schema", "invalid json schema", "invalid schema", "unsupported schema",
            "unsupported json schema", "schema is invalid", "schema is not valid", "schema*too complex", "schema*not supported",
            "schema must be", "invalid tool parameters", "invalid function parameters",
        ])
        .outside_quotes(),
    Rule::new(ParameterRefused, OPENAI).statuses(&[400, 422]).says(&[
        "unsupported parameter", "unknown parameter", "unrecognized request argument", "unknown field", "unknown name",
        "unsupported value", "not support parameter", "parameter*not supported", "parameter*is not allowed",
        "extra inputs are not permitted", "extra fields not permitted", "unrecognized key", "unexpected field",
        "unexpected keyword", "additional properties are not allowed", "not supported with this model",
        "is not supported by this model", "does not support '", "unsupported field", "unsupported argument",
    ]),
    Rule::new(Malformed, HTTP).statuses(&[400, 405, 415, 422]).says(&[
        "invalid", "missing required", "missing field", "malformed", "field required", "is required", "must ", "expected ", "should be", "should have", "cannot be empty", "can't be empty", "not of type",
        "validation error", "failed to deserialize", "could not parse", "unable to parse", "parse error", "not valid json",
        "unexpected role", "not allowed", "参数",
    ]),
    Rule::new(Overloaded, ANTHROPIC).codes(&[
        "overloaded_error", "overloaded", "api_error", "server_error", "internal_server_error", "internal_error", "internal",
        "service_unavailable", "serviceunavailable", "serviceunavailableerror", "internalservererror", "apiconnectionerror",
        "engine_overloaded", "capacity_exceeded", "bad_gateway", "upstream_error",
    ]),
    Rule::new(RateLimited, ANTHROPIC).codes(&[
        "rate_limit_error", "rate_limit_exceeded", "resource_exhausted", "too_many_requests", "ratelimiterror", "requests", "tokens",
    ]),
    Rule::new(TimedOut, LITELLM).codes(&["timeout", "request_timeout", "gateway_timeout"]),
    Rule::new(KeyRefused, ANTHROPIC).codes(&[
        "authentication_error", "permission_error", "unauthenticated", "unauthorized", "authenticationerror",
        "permissiondeniederror", "permission_denied", "access_denied",
    ]),
    Rule::new(ModelUnavailable, GOOGLE).codes(&["notfounderror"]),
    Rule::new(Malformed, GOOGLE).codes(&["invalid_prompt", "out_of_range", "unsupportedparamserror"]),
];
