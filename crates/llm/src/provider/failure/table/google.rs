//! Google's Gemini API and Vertex AI.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    AnswerSchemaRefused, ContextTooLong, KeyRefused, Malformed, ModelUnavailable, Overloaded,
    ParameterRefused, RateLimited, RegionRefused, Spent, ThoughtsRefused, TimedOut,
    ToolSchemaRefused,
};

const ERRORS: &str = "https://ai.google.dev/gemini-api/docs/troubleshooting";
const LIMITS: &str = "https://ai.google.dev/gemini-api/docs/rate-limits";
const REGIONS: &str = "https://ai.google.dev/gemini-api/docs/available-regions";
const REASONS: &str = "https://cloud.google.com/apis/design/errors#error_info";
const SCHEMA: &str = "https://ai.google.dev/api/caching#Schema";

pub(super) const RULES: &[Rule] = &[
    Rule::new(KeyRefused, REASONS).codes(&[
        "api_key_invalid",
        "api_key_service_blocked",
        "api_key_ip_address_blocked",
        "api_key_http_referrer_blocked",
        "api_key_android_app_blocked",
        "api_key_ios_app_blocked",
        "service_disabled",
        "consumer_suspended",
        "consumer_invalid",
        "access_token_expired",
        "access_token_type_unsupported",
        "credentials_missing",
        "iam_permission_denied",
    ]),
    Rule::new(KeyRefused, ERRORS).says(&[
        "api key not valid",
        "api key expired",
        "api key was reported as leaked",
        "doesn't allow unregistered callers",
        "or it is disabled. enable it",
        "project has been denied access",
    ]),
    Rule::new(RegionRefused, REGIONS)
        .says(&["user location is not supported", "free tier is not available in your country"]),
    Rule::new(Spent, "https://ai.google.dev/gemini-api/docs/billing").says(&[
        "prepayment credits are depleted",
        "exceeded its*spending cap",
        "spending cap",
        "billing is disabled",
        "requires billing to be enabled",
    ]),
    Rule::new(Spent, REASONS).codes(&["billing_disabled"]),
    Rule::new(Spent, "https://github.com/google-gemini/gemini-cli/issues/22486")
        .says(&["limit: 0,"]),
    Rule::new(Spent, "https://github.com/ai-christianson/RA.Aid/issues/182")
        .says(&["doesn't have a free quota tier"]),
    // A limit per day is not renewed when the delay says, which is that of the limit per minute.
    Rule::new(Spent, "https://github.com/google-gemini/gemini-cli/issues/8437").codes(&[
        "generaterequestsperdayperprojectpermodel",
        "generaterequestsperdayperprojectpermodel-freetier",
        "generatecontentinputtokensperdaypermodel",
        "generatecontentinputtokensperdaypermodel-freetier",
        "generatecontentpaidtierinputtokensperdaypermodel",
    ]),
    Rule::new(RateLimited, LIMITS).says(&["quota metric*per minute", "quota metric*per_minute"]),
    Rule::new(Spent, LIMITS).says(&["exceeded your current quota"]).without_short_wait(),
    Rule::new(ContextTooLong, "https://ai.google.dev/gemini-api/docs/tokens").says(&[
        "input token count*exceeds the maximum",
        "exceeds the maximum number of tokens allowed",
        "input context is too long",
    ]),
    Rule::new(ModelUnavailable, ERRORS).says(&[
        "is not found for api version",
        "not supported for generatecontent",
        "is no longer available to new users",
        "publisher model*not found",
    ]),
    Rule::new(ThoughtsRefused, "https://docs.apiyi.com/ko/faq/gemini-thought-signature-missing.md")
        .says(&[
            "thought signature is not valid",
            "invalid thought signature",
            "corrupted thought signature",
            "thought_signature is not valid",
        ]),
    Rule::new(AnswerSchemaRefused, SCHEMA).says(&[
        "response_schema",
        "responseschema",
        "response_json_schema",
        "responsejsonschema",
        "too many states for serving",
    ]),
    Rule::new(ToolSchemaRefused, SCHEMA)
        .says(&["function_declarations", "functiondeclaration", "functiondeclarations"])
        .and(&["parameters", "schema"])
        .unless(&["].name", "invalid function name"]),
    Rule::new(ParameterRefused, "https://ai.google.dev/api/generate-content#generationconfig")
        .says(&[
            "maxoutputtokens value of #",
            "max_output_tokens*must be",
            "generation_config.",
            "temperature value of #",
        ]),
    Rule::new(Malformed, "https://ai.google.dev/gemini-api/docs/function-calling").says(&[
        "function call turn comes immediately after",
        "function response parts is equal to",
        "missing a thought_signature",
        "invalid function name",
        "invalid json payload received",
        "single turn requests end with a user role",
    ]),
    Rule::new(Overloaded, ERRORS).says(&["the model is overloaded", "experiencing high demand"]),
    Rule::new(Overloaded, "https://github.com/google-gemini/gemini-cli/issues/23520")
        .codes(&["model_capacity_exhausted"]),
    Rule::new(Overloaded, ERRORS).statuses(&[503]).codes(&["unavailable"]),
    Rule::new(TimedOut, ERRORS).codes(&["deadline_exceeded"]),
];
