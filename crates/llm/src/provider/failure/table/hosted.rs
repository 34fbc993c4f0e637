//! xAI, Groq, Mistral and OpenRouter.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    BadSample, ContextTooLong, Filtered, KeyRefused, Malformed, ModelUnavailable, Overloaded,
    ParameterRefused, RateLimited, RegionRefused, RequestTooLarge, Spent,
};

const XAI_ERRORS: &str = "https://docs.x.ai/docs/key-information/debugging";
const GROQ_ERRORS: &str = "https://console.groq.com/docs/errors";
const GROQ_TOOLS: &str = "https://console.groq.com/docs/tool-use";
const MISTRAL_ERRORS: &str = "https://docs.mistral.ai/api";
const ROUTER_ERRORS: &str = "https://openrouter.ai/docs/api-reference/errors";

pub(super) const XAI: &[Rule] = &[
    Rule::new(Spent, "https://github.com/continuedev/continue/issues/10373").says(&[
        "used all available credits",
        "reached its monthly",
        "have run out of credits",
        "spending-limit",
        "doesn't have any credits",
    ]),
    Rule::new(KeyRefused, XAI_ERRORS)
        .says(&["api key is currently blocked", "no api key provided"]),
    Rule::new(ContextTooLong, "https://github.com/earendil-works/pi/issues/129")
        .says(&["maximum prompt length is #"]),
    Rule::new(ModelUnavailable, XAI_ERRORS).says(&["or your team * does not have access to it"]),
    Rule::new(Filtered, XAI_ERRORS).says(&["content violates usage guidelines"]),
    Rule::new(ParameterRefused, "https://docs.x.ai/docs/guides/reasoning")
        .says(&["argument not supported on this model", "does not support parameter"]),
];

pub(super) const GROQ: &[Rule] = &[
    Rule::new(RequestTooLarge, "https://github.com/continuedev/continue/issues/10218")
        .says(&["request too large for model"]),
    Rule::new(BadSample, "https://github.com/groq/groq-typescript/issues/103").codes(&[
        "tool_use_failed",
        "json_validate_failed",
        "output_parse_failed",
    ]),
    Rule::new(BadSample, GROQ_TOOLS).says(&[
        "failed to call a function",
        "tool choice is none, but model called a tool",
        "tool choice is required, but model did not call a tool",
        "which was not in request.tools",
        "tool call validation failed",
        "failed to generate json",
        "failed to validate json",
        "model generated output that could not be parsed",
    ]),
    Rule::new(Spent, "https://console.groq.com/docs/spend-limits").codes(&["blocked_api_access"]),
    Rule::new(KeyRefused, GROQ_ERRORS).codes(&["organization_restricted"]),
    Rule::new(ModelUnavailable, "https://console.groq.com/docs/deprecations").codes(&[
        "model_decommissioned",
        "model_terms_required",
        "model_permission_blocked_org",
        "model_permission_blocked_project",
        "model_not_active",
    ]),
    Rule::new(ModelUnavailable, "https://console.groq.com/docs/deprecations")
        .says(&["has been decommissioned", "requires terms acceptance"]),
    Rule::new(ParameterRefused, "https://github.com/skapadia3214/groq-moa/issues/8").says(&[
        "max_tokens for*must be less than or equal to #",
        "'max_tokens' must be less than or equal to #",
        "'max_completion_tokens' must be less than or equal to #",
    ]),
    Rule::new(RateLimited, GROQ_ERRORS).codes(&["capacity_exceeded"]),
];

pub(super) const MISTRAL: &[Rule] = &[
    Rule::new(Overloaded, "https://github.com/continuedev/continue/issues/6185")
        .says(&["service tier capacity exceeded"]),
    Rule::new(RateLimited, MISTRAL_ERRORS).codes(&["rate_limited"]),
    Rule::new(ModelUnavailable, MISTRAL_ERRORS).codes(&["invalid_model", "1500"]),
    Rule::new(ContextTooLong, "https://github.com/earendil-works/pi/issues/129")
        .says(&["too large for model with #"]),
    Rule::new(Malformed, "https://github.com/avante-corp/avante.nvim/pull/2695").codes(&[
        "invalid_request_message_order",
        "invalid_request_message_roles",
        "invalid_request_invalid_args",
        "invalid_request_prompt",
        "invalid_request_function",
    ]),
    Rule::new(ParameterRefused, "https://github.com/editor-code-assistant/eca/issues/231")
        .codes(&["extra_forbidden"]),
];

pub(super) const OPEN_ROUTER: &[Rule] = &[
    Rule::new(Spent, "https://github.com/RooCodeInc/Roo-Code/issues/515")
        .says(&["key limit exceeded", "key has exceeded its*limit"]),
    Rule::new(Spent, "https://github.com/anomalyco/opencode/issues/12219").says(&[
        "requires more credits",
        "can only afford #",
        "prompt tokens limit exceeded: # > #. to increase",
        "insufficient credits",
        "never purchased credits",
    ]),
    Rule::new(Spent, "https://openrouter.ai/docs/api-reference/limits")
        .says(&["free-models-per-day"]),
    Rule::new(Filtered, ROUTER_ERRORS).codes(&["moderation_flagged"]),
    Rule::new(Filtered, ROUTER_ERRORS).says(&["requires moderation", "your input was flagged"]),
    Rule::new(RegionRefused, ROUTER_ERRORS).says(&["model is not available in your region"]),
    Rule::new(ModelUnavailable, ROUTER_ERRORS).says(&[
        "no endpoints found",
        "no allowed providers are available",
        "is not a valid model id",
    ]),
    Rule::new(KeyRefused, ROUTER_ERRORS)
        .statuses(&[401])
        .says(&["user not found", "auth credentials found"]),
    Rule::new(RateLimited, ROUTER_ERRORS).says(&["temporarily rate-limited upstream"]),
    Rule::new(ContextTooLong, "https://github.com/earendil-works/pi/issues/4943")
        .says(&["exceeds the maximum allowed input length of #"]),
];
