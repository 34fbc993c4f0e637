//! Anthropic, and Amazon's Bedrock, whose errors proxies pass on.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    AnswerSchemaRefused, ContextTooLong, Filtered, KeyRefused, Malformed, ModelUnavailable,
    Overloaded, ParameterRefused, RateLimited, RegionRefused, RequestTooLarge, Spent,
    ThoughtsRefused, TimedOut, ToolSchemaRefused,
};

const ERRORS: &str = "https://docs.anthropic.com/en/api/errors";
const BEDROCK: &str = "https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html";
const CONVERSE: &str =
    "https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html";
const BEDROCK_MODELS: &str =
    "https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html";

pub(super) const RULES: &[Rule] = &[
    Rule::new(Spent, "https://github.com/anthropics/claude-code/issues/2127").says(&[
        "specified api usage limits",
        "you will regain access on",
        "credit balance is too low",
        "monthly spend limit",
    ]),
    Rule::new(Spent, ERRORS).codes(&["billing_error"]),
    Rule::new(RequestTooLarge, "https://github.com/anthropics/claude-code/issues/29584")
        .says(&["required for long context requests"]),
    Rule::new(RegionRefused, "https://github.com/corbt/agent.exe/issues/15")
        .statuses(&[403])
        .says(&["^request not allowed"]),
    Rule::new(KeyRefused, ERRORS).says(&[
        "invalid x-api-key",
        "x-api-key header is required",
        "this organization has been disabled",
        "authentication is currently not supported",
    ]),
    Rule::new(ModelUnavailable, ERRORS)
        .statuses(&[404])
        .codes(&["not_found_error"])
        .says(&["^model"]),
    Rule::new(
        ContextTooLong,
        "https://docs.anthropic.com/en/docs/build-with-claude/context-windows",
    )
    .says(&["prompt is too long", "exceed context limit", "exceeds context limit"]),
    Rule::new(ContextTooLong, ERRORS).codes(&["request_too_large"]),
    Rule::new(Filtered, "https://github.com/anthropics/claude-code/issues/58367")
        .says(&["blocked by content filtering policy"]),
    Rule::new(ParameterRefused, "https://github.com/OpenHands/OpenHands/issues/11090")
        .says(&["which is the maximum allowed number of output tokens"]),
    Rule::new(
        ParameterRefused,
        "https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking",
    )
    .statuses(&[400])
    .says(&[
        "'temperature' may only be set to",
        "'temperature' is deprecated",
        "'temperature' and 'top_p' cannot both be specified",
        "^temperature:",
    ]),
    Rule::new(
        ToolSchemaRefused,
        "https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use",
    )
    .says(&["tools.#*input_schema", "input_schema does not support", "input_schema: "]),
    Rule::new(
        AnswerSchemaRefused,
        "https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs",
    )
    .says(&["output_config.format", "output_format", "does not support output format"]),
    Rule::new(
        ThoughtsRefused,
        "https://platform.claude.com/docs/en/build-with-claude/preserved-thinking",
    )
    .says(&["invalid 'signature' in 'thinking'", "invalid 'data' in 'redacted_thinking'"]),
    Rule::new(ThoughtsRefused, "https://github.com/anthropics/claude-code/issues/19539")
        .says(&["blocks in the latest assistant message cannot be modified"]),
    Rule::new(ThoughtsRefused, "https://github.com/tailcallhq/forgecode/issues/1853")
        .says(&["message in the final position cannot contain 'thinking'"]),
    Rule::new(ThoughtsRefused, "https://github.com/anomalyco/opencode/issues/25005")
        .says(&["thinking.signature: field required"]),
    Rule::new(Malformed, "https://docs.anthropic.com/en/api/messages").statuses(&[400, 422]).says(
        &[
            "^messages: ",
            "^messages.#",
            "^tools.#",
            "^tools: ",
            "^system: ",
            "^system.#",
            "extra inputs are not permitted",
            "ids were found without",
        ],
    ),
    Rule::new(Overloaded, ERRORS).codes(&["overloaded_error"]),
    Rule::new(TimedOut, ERRORS).codes(&["timeout_error"]),
    Rule::new(Spent, "https://docs.aws.amazon.com/bedrock/latest/userguide/quotas.html")
        .says(&["too many tokens per day"]),
    Rule::new(Spent, BEDROCK).codes(&["servicequotaexceededexception"]),
    Rule::new(RateLimited, CONVERSE).codes(&["throttlingexception", "toomanyrequestsexception"]),
    Rule::new(ModelUnavailable, BEDROCK_MODELS).says(&[
        "throughput isn't supported",
        "doesn't support on-demand throughput",
        "have access to the model with the specified model id",
        "not authorized to invoke this model",
        "provided model identifier is invalid",
        "use case details have not been submitted",
        "reached the end of its life",
    ]),
    Rule::new(KeyRefused, BEDROCK).codes(&[
        "unrecognizedclientexception",
        "expiredtokenexception",
        "incompletesignatureexception",
    ]),
    Rule::new(KeyRefused, BEDROCK).says(&["security token included in the request is"]),
    Rule::new(ContextTooLong, BEDROCK_MODELS)
        .says(&["input is too long for requested model", "too many input tokens"]),
    Rule::new(ParameterRefused, "https://github.com/langchain-ai/langchain/issues/9697").says(&[
        "maximum tokens you requested exceeds the model limit of #",
        "# is not less or equal to #",
    ]),
    Rule::new(ToolSchemaRefused, CONVERSE)
        .says(&["toolspec.inputschema", "toolconfig*inputschema"]),
    Rule::new(TimedOut, CONVERSE).codes(&["modeltimeoutexception"]),
    Rule::new(Overloaded, CONVERSE).codes(&[
        "modelstreamerrorexception",
        "modelerrorexception",
        "modelnotreadyexception",
        "internalserverexception",
        "serviceunavailableexception",
    ]),
];
