//! What holds for every provider: accounts, keys, regions, limits and filters by their words, and at the
//! very end the codes alone, which say less.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    Filtered, KeyRefused, Malformed, ModelUnavailable, Overloaded, RateLimited, RegionRefused,
    RequestTooLarge, Spent, TimedOut,
};

const HTTP: &str = "https://www.rfc-editor.org/rfc/rfc9110#section-15.5";
const OPENAI: &str = "https://platform.openai.com/docs/guides/error-codes/api-errors";
const ANTHROPIC: &str = "https://docs.anthropic.com/en/api/errors";
const GOOGLE: &str = "https://cloud.google.com/apis/design/errors#handling_errors";
const LITELLM: &str = "https://docs.litellm.ai/docs/exception_mapping";
const BILLING: &str = "https://github.com/marcolardera/chatgpt-cli/issues/70";

/// Words of a limit per time, which a wait lifts.
const PER_TIME: &[&str] = &[
    "per minute",
    "per_minute",
    "per min",
    "per second",
    "per hour",
    "rate limit",
    "rate-limit",
    "tpm",
    "rpm",
    "try again in",
    "retry in",
    "retry after",
    "requests per",
    "e.g. check quota",
    "too many requests",
];

/// What is used up, so that only the account's owner can help, or the end of a month.
const USED_UP: &[&str] = &[
    "exceed",
    "used up",
    "used all",
    "insufficient",
    "exhausted",
    "depleted",
    "too low",
    "reached",
    "run out",
    "ran out",
    "out of credit",
    "not enough",
    "no remaining",
    "no credit",
    "expired",
    "overdue",
    "past due",
    "suspended",
    "not active",
    "inactive",
    "negative",
    "hit your",
    "over your",
];

/// Statuses of servers that are out of order, or ask for a pause.
const BUSY: &[u16] = &[408, 429, 500, 502, 503, 504, 529];

pub(super) const ACCOUNT: &[Rule] = &[
    Rule::new(RequestTooLarge, "https://github.com/zeeyado/koassistant.koplugin/issues/106")
        .says(&[
            "request too large",
            "request is too large",
            "single request",
            "larger than the limit",
        ])
        .and(&["per min", "tpm", "rate limit"]),
    Rule::new(Spent, HTTP).statuses(&[402]),
    Rule::new(Spent, BILLING)
        .statuses(&[400, 401, 403, 412, 429])
        .says(&[
            "credit",
            "quota",
            "balance",
            "spend limit",
            "spending limit",
            "spending cap",
            "usage limit",
            "usage cap",
            "monthly limit",
            "weekly limit",
            "daily limit",
            "billing",
            "prepaid",
            "free tier",
            "subscription",
            "funds",
            "allowance",
            "plan limit",
        ])
        .and(USED_UP)
        .unless(PER_TIME)
        .without_short_wait()
        .outside_quotes(),
    // Thinking and prompts have budgets, too.
    Rule::new(Spent, BILLING)
        .statuses(&[402, 403, 412, 429])
        .says(&["budget", "trial"])
        .and(USED_UP)
        .unless(&["token budget", "thinking budget", "reasoning budget", "rate limit"])
        .without_short_wait()
        .outside_quotes(),
    Rule::new(Spent, BILLING)
        .statuses(&[400, 401])
        .says(&[
            "your budget",
            "monthly budget",
            "max budget",
            "team budget",
            "user budget",
            "key budget",
            "account*budget",
            "organization*budget",
            "your trial",
            "free trial",
            "trial period",
        ])
        .and(USED_UP)
        .unless(&["token budget", "thinking budget", "reasoning budget", "rate limit"])
        .without_short_wait()
        .outside_quotes(),
    // A quota of tokens, not the size of one conversation.
    Rule::new(Spent, "https://inference-docs.cerebras.ai/support/rate-limits")
        .statuses(&[400, 401, 403, 412, 413, 422, 429])
        .says(&[
            "daily*limit",
            "weekly*limit",
            "monthly*limit",
            "daily*quota",
            "weekly*quota",
            "monthly*quota",
            "per day limit",
            "per month limit",
            "limit per day",
            "limit per month",
            "limit for today",
            "limit for this month",
        ])
        .and(USED_UP)
        .unless(PER_TIME)
        .without_short_wait()
        .outside_quotes(),
    Rule::new(Spent, BILLING)
        .statuses(&[400, 401, 403, 412, 429])
        .says(&[
            "please recharge",
            "recharge your",
            "top up your",
            "please top up",
            "add credits",
            "add more credits",
            "purchase credits",
            "purchase more credits",
            "buy credits",
            "buy more credits",
            "add funds",
            "欠费",
            "充值",
        ])
        .unless(PER_TIME)
        .without_short_wait()
        .outside_quotes(),
    Rule::new(RegionRefused, HTTP).statuses(&[451]),
    Rule::new(RegionRefused, "https://developers.cloudflare.com/support/")
        .says(&["error code: 1009"]),
    Rule::new(RegionRefused, "https://ai.google.dev/gemini-api/docs/available-regions")
        .statuses(&[400, 403, 404])
        .says(&[
            "your country",
            "your region",
            "your location",
            "user location",
            "this country",
            "this region",
            "this location",
            "the region",
            "in region",
            "country, region",
            "country or region",
            "countries",
            "country/region",
            "territory",
            "geographic",
            "unsupported country",
            "unsupported region",
            "unsupported location",
        ])
        .and(&[
            "not supported",
            "unsupported",
            "not available",
            "unavailable",
            "restricted",
            "not allowed",
        ])
        .outside_quotes(),
    Rule::new(KeyRefused, OPENAI).statuses(&[400]).says(&[
        "invalid api key",
        "api key is invalid",
        "api key is not valid",
        "api key has expired",
        "invalid authentication",
        "missing api key",
    ]),
    Rule::new(KeyRefused, OPENAI)
        .statuses(&[401, 403])
        .says(&[
            "api key",
            "api-key",
            "api_key",
            "apikey",
            "access token",
            "credentials",
            "authentication",
            "authorization header",
            "bearer token",
            "auth token",
            "api token",
        ])
        .and(&[
            "invalid",
            "incorrect",
            "not valid",
            "expired",
            "revoked",
            "missing",
            "disabled",
            "not found",
            "required",
            "unauthorized",
            "failed",
            "denied",
            "blocked",
            "leaked",
            "malformed",
            "no ",
            "not provided",
            "wrong",
            "permission",
        ])
        .outside_quotes(),
    Rule::new(KeyRefused, HTTP).statuses(&[401]),
    Rule::new(RateLimited, OPENAI)
        .statuses(&[400, 403, 413, 429, 503])
        .says(&[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "too many requests",
            "throttl",
            "requests per",
            "tokens per min",
            "per minute",
            "too many concurrent",
        ])
        .outside_quotes(),
    Rule::new(
        Filtered,
        "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter",
    )
    .statuses(&[400, 403, 422])
    .says(&[
        "content filter",
        "content_filter",
        "content policy",
        "content policies",
        "content management",
        "usage policy",
        "usage policies",
        "usage guidelines",
        "safety system",
        "safety filter",
        "moderation",
        "responsible ai",
        "prohibited content",
        "prohibited_content",
        "sensitive content",
        "inappropriate content",
        "harmful content",
        "unsafe content",
        "safety reasons",
        "violat*polic",
        "violat*guideline",
        "guardrail",
        "flagged as",
        "flagged by",
        "敏感内容",
        "敏感词",
    ])
    .outside_quotes(),
];

pub(super) const CODES: &[Rule] = &[
    Rule::new(Overloaded, ANTHROPIC).codes(&[
        "overloaded_error",
        "overloaded",
        "service_unavailable",
        "serviceunavailable",
        "serviceunavailableerror",
        "apiconnectionerror",
        "engine_overloaded",
    ]),
    // Some servers give these to all their errors (Ollama: `api_error`).
    Rule::new(Overloaded, ANTHROPIC).statuses(BUSY).codes(&[
        "api_error",
        "server_error",
        "internal_server_error",
        "internal_error",
        "internal",
        "internalservererror",
        "capacity_exceeded",
        "bad_gateway",
        "upstream_error",
    ]),
    Rule::new(RateLimited, ANTHROPIC).codes(&[
        "rate_limit_error",
        "rate_limit_exceeded",
        "resource_exhausted",
        "too_many_requests",
        "ratelimiterror",
    ]),
    Rule::new(RateLimited, OPENAI).statuses(BUSY).codes(&["requests", "tokens"]),
    Rule::new(TimedOut, LITELLM).codes(&["timeout", "request_timeout", "gateway_timeout"]),
    Rule::new(KeyRefused, ANTHROPIC).codes(&[
        "authentication_error",
        "permission_error",
        "unauthenticated",
        "unauthorized",
        "authenticationerror",
        "permissiondeniederror",
        "permission_denied",
        "access_denied",
    ]),
    // An error in a success has no status that says so.
    Rule::new(TimedOut, HTTP).statuses(&[408, 504]).says(&[
        "timed out",
        "gateway timeout",
        "request timeout",
        "deadline exceeded",
    ]),
    Rule::new(Overloaded, HTTP).statuses(&[500, 502, 503, 529]).says(&[
        "internal server error",
        "internal error",
        "server error",
        "server had an error",
        "error while processing your request",
        "error occurred while processing",
        "something went wrong",
        "bad gateway",
        "service unavailable",
        "temporarily unavailable",
        "overloaded",
        "at capacity",
        "connection error",
        "connection reset",
        "connection refused",
        "connection closed",
        "connection lost",
        "upstream",
        "out of memory",
        "enginecore encountered",
        "try again later",
    ]),
    Rule::new(ModelUnavailable, GOOGLE).codes(&["notfounderror"]),
    Rule::new(Malformed, GOOGLE).codes(&[
        "invalid_prompt",
        "out_of_range",
        "unsupportedparamserror",
    ]),
];
