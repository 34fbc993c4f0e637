//! OpenAI, and Azure's OpenAI.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    AnswerSchemaRefused, ContextTooLong, Filtered, KeyRefused, Malformed, ModelUnavailable,
    Overloaded, ParameterRefused, RateLimited, RegionRefused, RequestTooLarge, Spent,
    ThoughtsRefused, ToolSchemaRefused,
};

const ERRORS: &str = "https://platform.openai.com/docs/guides/error-codes/api-errors";
const AZURE: &str = "https://learn.microsoft.com/azure/ai-services/openai/reference";
const AZURE_QUOTA: &str = "https://learn.microsoft.com/azure/ai-services/openai/quotas-limits";

pub(super) const RULES: &[Rule] = &[
    Rule::new(Spent, ERRORS).codes(&[
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "quota_exceeded",
    ]),
    Rule::new(Spent, ERRORS)
        .says(&["billing hard limit", "your account is not active, please check your billing"]),
    Rule::new(Spent, ERRORS).says(&["exceeded your current quota"]).without_short_wait(),
    Rule::new(Spent, AZURE_QUOTA).says(&["out of call volume quota"]),
    Rule::new(RegionRefused, "https://platform.openai.com/docs/supported-countries")
        .codes(&["unsupported_country_region_territory"]),
    Rule::new(RegionRefused, "https://platform.openai.com/docs/supported-countries")
        .says(&["country, region, or territory not supported"]),
    Rule::new(RequestTooLarge, "https://github.com/vanna-ai/vanna-flask/issues/11")
        .says(&["request too large for"])
        .and(&["tokens per min", "tpm", "requested #", "input or output tokens must be reduced"]),
    Rule::new(ModelUnavailable, ERRORS).codes(&["model_not_found", "model_not_available"]),
    Rule::new(ModelUnavailable, ERRORS).says(&[
        "does not exist or you do not have access",
        "does not have access to model",
        "organization must be verified to use the model",
    ]),
    Rule::new(ModelUnavailable, AZURE).codes(&[
        "deploymentnotfound",
        "operationnotsupported",
        "modeldeprecated",
    ]),
    Rule::new(KeyRefused, ERRORS).codes(&[
        "invalid_api_key",
        "invalid_organization",
        "mismatched_organization",
        "account_deactivated",
        "ip_not_authorized",
        "missing_scope",
    ]),
    Rule::new(KeyRefused, ERRORS).says(&[
        "incorrect api key provided",
        "you didn't provide an api key",
        "insufficient permissions for this operation",
        "must be a member of an organization",
        "api key has been deactivated",
        "ip address is not",
    ]),
    Rule::new(KeyRefused, AZURE).says(&[
        "access denied due to invalid subscription key",
        "access denied due to virtual network",
        "public access is disabled",
        "lacks the required data action",
    ]),
    Rule::new(ContextTooLong, ERRORS)
        .codes(&["context_length_exceeded", "context_window_exceeded"]),
    Rule::new(ContextTooLong, "https://github.com/code-yeongyu/senpi/pull/1466")
        .says(&["input exceeds the*context window", "input exceeds*context window"]),
    Rule::new(Filtered, AZURE).codes(&["content_filter", "responsibleaipolicyviolation"]),
    Rule::new(Filtered, ERRORS).codes(&["content_policy_violation", "moderation_blocked"]),
    Rule::new(Filtered, "https://github.com/openai/openai-python/issues/331")
        .says(&["content management policy"]),
    Rule::new(Filtered, "https://platform.openai.com/docs/guides/reasoning").says(&[
        "flagged as potentially violating our usage policy",
        "rejected as a result of our safety system",
        "rejected by the safety system",
    ]),
    Rule::new(
        AnswerSchemaRefused,
        "https://platform.openai.com/docs/guides/structured-outputs#supported-schemas",
    )
    .says(&[
        "invalid schema for response_format",
        "invalid schema for 'text.format",
        "invalid parameter: 'response_format'",
        "'response_format' of type 'json_schema' is not supported",
    ]),
    Rule::new(
        ToolSchemaRefused,
        "https://platform.openai.com/docs/guides/function-calling#strict-mode",
    )
    .codes(&["invalid_function_parameters"]),
    Rule::new(
        ToolSchemaRefused,
        "https://platform.openai.com/docs/guides/function-calling#strict-mode",
    )
    .says(&["invalid schema for function"]),
    Rule::new(ParameterRefused, "https://platform.openai.com/docs/guides/reasoning").codes(&[
        "unsupported_parameter",
        "unsupported_value",
        "unknown_parameter",
        "integer_above_max_value",
        "integer_below_min_value",
        "decimal_above_max_value",
        "decimal_below_min_value",
    ]),
    Rule::new(
        ParameterRefused,
        "https://community.openai.com/t/max-tokens-chat-completion-gpt4o/758066",
    )
    .says(&["max_tokens is too large", "max_completion_tokens is too large"]),
    Rule::new(
        ParameterRefused,
        "https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/openai/serving_engine.py",
    )
    .says(&["'max_completion_tokens' is too large", "'max_tokens' is too large"]),
    Rule::new(ThoughtsRefused, "https://github.com/Wei-Shaw/sub2api/issues/3138")
        .codes(&["invalid_encrypted_content"]),
    Rule::new(ThoughtsRefused, "https://github.com/Wei-Shaw/sub2api/issues/3138")
        .says(&["encrypted content*could not be verified"]),
    Rule::new(Malformed, ERRORS).codes(&[
        "invalid_value",
        "invalid_type",
        "missing_required_parameter",
        "string_above_max_length",
        "string_below_min_length",
        "array_above_max_length",
        "array_below_min_length",
        "empty_array",
        "invalid_image_url",
        "invalid_image_format",
        "json_invalid",
    ]),
    Rule::new(RateLimited, AZURE_QUOTA)
        .says(&["exceeded token rate limit", "exceeded call rate limit"]),
    Rule::new(Overloaded, ERRORS).codes(&["slow_down", "server_is_overloaded"]),
    Rule::new(Overloaded, AZURE).codes(&["nocapacity", "deploymentnotready"]),
];
