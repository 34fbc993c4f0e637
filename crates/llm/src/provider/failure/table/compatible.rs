//! Providers and proxies that speak one of the protocols behind another address: DeepSeek, Moonshot,
//! Zhipu, Alibaba, MiniMax, Together, Fireworks, Cerebras, Hugging Face, GitHub, LiteLLM.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    ContextTooLong, Filtered, KeyRefused, Malformed, ModelUnavailable, Overloaded, RateLimited,
    RequestTooLarge, Spent, TimedOut,
};

const MOONSHOT: &str = "https://platform.moonshot.ai/docs/api/chat#error-codes";
const KIMI_CODE: &str = "https://www.kimi.com/code/docs/en/kimi-code/error-reference.html";
const ZHIPU: &str = "https://docs.z.ai/api-reference/api-code";
const ALIBABA: &str = "https://help.aliyun.com/zh/model-studio/error-code";
const MINIMAX: &str = "https://platform.minimax.io/docs/api-reference/errorcode";
const TOGETHER: &str = "https://docs.together.ai/docs/error-codes";
const CEREBRAS: &str = "https://inference-docs.cerebras.ai/support/error";
const LITELLM: &str = "https://docs.litellm.ai/docs/exception_mapping";
const GITHUB: &str = "https://docs.github.com/github-models/prototyping-with-ai-models";

pub(super) const RULES: &[Rule] = &[
    Rule::new(Spent, "https://api-docs.deepseek.com/quick_start/error_codes").says(&[
        "insufficient balance",
        "insufficient account balance",
        "余额不足",
    ]),
    Rule::new(Filtered, "https://github.com/deepseek-ai/awesome-deepseek-integration/issues/13")
        .says(&["content exists risk"]),
    Rule::new(Spent, MOONSHOT).codes(&["exceeded_current_quota_error"]),
    Rule::new(Spent, KIMI_CODE).says(&["reached your usage limit for this"]),
    Rule::new(KeyRefused, MOONSHOT).codes(&[
        "invalid_authentication_error",
        "incorrect_api_key_error",
        "permission_denied_error",
    ]),
    Rule::new(ModelUnavailable, MOONSHOT).codes(&["resource_not_found_error"]),
    Rule::new(ContextTooLong, "https://github.com/MoonshotAI/kimi-cli/issues/2011")
        .says(&["exceeded model token limit"]),
    Rule::new(Overloaded, MOONSHOT).codes(&["engine_overloaded_error"]),
    Rule::new(RateLimited, MOONSHOT).codes(&["rate_limit_reached_error"]),
    Rule::new(Spent, ZHIPU).codes(&["1113", "1304", "1308", "1309", "1310"]),
    Rule::new(KeyRefused, ZHIPU)
        .codes(&["1000", "1001", "1002", "1003", "1004", "1110", "1111", "1112", "1121"]),
    Rule::new(ModelUnavailable, ZHIPU).codes(&["1211", "1212", "1220", "1221", "1222", "1311"]),
    Rule::new(ContextTooLong, ZHIPU).codes(&["1261"]),
    Rule::new(Filtered, ZHIPU).codes(&["1301"]),
    Rule::new(RateLimited, ZHIPU).codes(&["1302", "1303", "1305", "1313"]),
    Rule::new(Overloaded, ZHIPU).codes(&["1120", "1234", "1312"]),
    Rule::new(Malformed, ZHIPU).codes(&["1210", "1213", "1214", "1215"]),
    Rule::new(Spent, ALIBABA).codes(&["arrearage", "allocationquota.freetieronly"]),
    Rule::new(Spent, ALIBABA)
        .says(&["account is in good standing", "free tier of the model has been exhausted"]),
    Rule::new(ContextTooLong, ALIBABA).says(&["range of input length should be"]),
    Rule::new(Filtered, ALIBABA).codes(&["data_inspection_failed", "datainspectionfailed"]),
    Rule::new(RateLimited, ALIBABA).codes(&[
        "throttling",
        "throttling.ratequota",
        "throttling.allocationquota",
        "limit_requests",
        "limit_burst_rate",
    ]),
    Rule::new(ModelUnavailable, ALIBABA).codes(&["modelnotfound", "model_not_supported"]),
    Rule::new(Spent, MINIMAX).codes(&["base_resp.1008", "base_resp.2056"]),
    Rule::new(KeyRefused, MINIMAX).codes(&["base_resp.1004", "base_resp.2049"]),
    Rule::new(RateLimited, MINIMAX).codes(&["base_resp.1002", "base_resp.1039", "base_resp.1041"]),
    Rule::new(Filtered, MINIMAX).codes(&["base_resp.1026", "base_resp.1027"]),
    Rule::new(TimedOut, MINIMAX).codes(&["base_resp.1001"]),
    Rule::new(Overloaded, MINIMAX).codes(&[
        "base_resp.1000",
        "base_resp.1013",
        "base_resp.1024",
        "base_resp.1033",
    ]),
    Rule::new(ContextTooLong, MINIMAX).says(&["context window exceeds limit"]),
    Rule::new(Filtered, MINIMAX).says(&["input new_sensitive", "output new_sensitive"]),
    Rule::new(Spent, TOGETHER).says(&["credit limit exceeded"]),
    Rule::new(ContextTooLong, TOGETHER).says(&[
        "tokens + max_new_tokens must be",
        "tokens + 'max_new_tokens' must be",
        "must have less than # tokens",
    ]),
    Rule::new(ModelUnavailable, TOGETHER).says(&["unable to access model"]),
    Rule::new(Spent, "https://docs.fireworks.ai/guides/inference-error-codes")
        .says(&["is suspended, possibly due to reaching the monthly spending limit"]),
    Rule::new(ContextTooLong, "https://github.com/cline/cline/issues/5140")
        .says(&["reduce the length of the messages", "current length is # while limit is #"]),
    Rule::new(Spent, CEREBRAS)
        .says(&["tokens per day limit exceeded", "requests per day limit exceeded"]),
    Rule::new(RateLimited, CEREBRAS).codes(&[
        "too_many_requests_error",
        "token_quota_exceeded",
        "request_quota_exceeded",
    ]),
    Rule::new(Overloaded, CEREBRAS).codes(&["queue_exceeded"]),
    Rule::new(KeyRefused, CEREBRAS).codes(&["wrong_api_key"]),
    Rule::new(Spent, "https://huggingface.co/docs/inference-providers/pricing")
        .says(&["exceeded your monthly included credits"]),
    Rule::new(ContextTooLong, GITHUB).codes(&["model_max_prompt_tokens_exceeded"]),
    Rule::new(RequestTooLarge, GITHUB).codes(&["tokens_limit_reached"]),
    Rule::new(ContextTooLong, LITELLM).codes(&["contextwindowexceedederror"]),
    Rule::new(Filtered, LITELLM).codes(&["contentpolicyviolationerror"]),
    Rule::new(Spent, "https://docs.litellm.ai/docs/proxy/users")
        .codes(&["budget_exceeded", "budgetexceedederror"]),
    Rule::new(Spent, "https://docs.litellm.ai/docs/proxy/users").says(&[
        "budget has been exceeded",
        "exceededbudget",
        "over budget. spend",
        "over budget. current",
        "crossed budget",
    ]),
    Rule::new(ModelUnavailable, "https://docs.litellm.ai/docs/proxy/model_access")
        .codes(&["key_model_access_denied", "team_model_access_denied"]),
    Rule::new(ModelUnavailable, "https://docs.litellm.ai/docs/proxy/model_access")
        .says(&["not allowed to access model", "invalid model name passed in model"]),
    Rule::new(KeyRefused, "https://docs.litellm.ai/docs/proxy/virtual_keys").codes(&[
        "token_not_found_in_db",
        "expired_key",
        "no_db_connection",
    ]),
    Rule::new(Overloaded, "https://docs.litellm.ai/docs/routing")
        .says(&["no deployments available", "no healthy deployment"]),
];
