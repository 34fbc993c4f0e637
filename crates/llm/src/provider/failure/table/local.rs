//! Servers that run models themselves: Ollama, llama.cpp, vLLM, SGLang, LM Studio.

use super::Rule;
use crate::provider::failure::meaning::Meaning::{
    AnswerSchemaRefused, BadSample, ContextTooLong, Malformed, ModelUnavailable, Overloaded,
    ParameterRefused, ToolSchemaRefused,
};

const LLAMA_CPP: &str = "https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md";
const GRAMMARS: &str = "https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md";
const OLLAMA: &str = "https://docs.ollama.com/api/errors";
const VLLM: &str = "https://docs.vllm.ai/en/latest/features/tool_calling.html";
const LLAMA_CPP_PYTHON: &str =
    "https://github.com/abetlen/llama-cpp-python/blob/main/llama_cpp/server/errors.py";
const LM_STUDIO: &str = "https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/546";

pub(super) const RULES: &[Rule] = &[
    Rule::new(BadSample, "https://github.com/ollama/ollama/issues/17638")
        .says(&["error parsing tool call"]),
    Rule::new(BadSample, "https://github.com/ggml-org/llama.cpp/issues/24644").says(&[
        "failed to parse input at pos #",
        "failed to parse tool call arguments",
        "model produced output that does not match",
    ]),
    Rule::new(BadSample, "https://github.com/vllm-project/vllm/issues/23567")
        .says(&["unexpected tokens remaining in message header", "harmonyerror"]),
    Rule::new(ContextTooLong, LLAMA_CPP).codes(&["exceed_context_size_error"]),
    Rule::new(ContextTooLong, LLAMA_CPP)
        .says(&["context size has been exceeded", "exceeds the available context size"]),
    Rule::new(
        ContextTooLong,
        "https://github.com/earendil-works/pi/blob/main/packages/ai/src/utils/overflow.ts",
    )
    .says(&["exceeded max context length", "exceeded context length", "input length exceeds"]),
    Rule::new(ContextTooLong, "https://github.com/earendil-works/pi/pull/5929").says(&[
        "is longer than the maximum model length",
        "maximum context length is # tokens. however",
        "exceeds model's maximum context length",
        "exceeds the model's maximum context length",
    ]),
    Rule::new(ContextTooLong, "https://github.com/openclaw/openclaw/issues/129352")
        .says(&["is longer than the model's context length"]),
    Rule::new(ContextTooLong, LM_STUDIO)
        .says(&["when context the overflows", "loaded with context length of only #"]),
    Rule::new(ModelUnavailable, OLLAMA).says(&[
        "not found, try pulling it first",
        "try pulling it first",
        "requires more system memory",
    ]),
    Rule::new(ModelUnavailable, "https://lmstudio.ai/docs/api").says(&["no models loaded"]),
    Rule::new(ParameterRefused, "https://github.com/FlowiseAI/Flowise/issues/3361")
        .says(&["does not support tools", "does not support thinking"]),
    Rule::new(ParameterRefused, VLLM).says(&["tool choice requires --enable-auto-tool-choice"]),
    Rule::new(ParameterRefused, LLAMA_CPP)
        .says(&["param requires --jinja flag", "unsupported param: "]),
    // Every error of validation is a 500 there.
    Rule::new(ParameterRefused, LLAMA_CPP_PYTHON)
        .statuses(&[500])
        .says(&["validation error: {*'loc': ('body', '", "validation errors: {*'loc': ('body', '"]),
    Rule::new(ToolSchemaRefused, GRAMMARS).says(&[
        "json schema conversion failed",
        "failed to parse grammar",
        "unrecognized schema",
        "error resolving ref",
    ]),
    Rule::new(
        AnswerSchemaRefused,
        "https://docs.vllm.ai/en/latest/features/structured_outputs.html",
    )
    .says(&["grammar error", "failed to convert json schema", "unsupported by xgrammar"]),
    Rule::new(Malformed, "https://github.com/microsoft/autogen/issues/1037").says(&[
        "conversation roles must alternate",
        "only user and assistant roles are supported",
        "system role not supported",
        "jinja exception",
        "template error",
    ]),
    Rule::new(Overloaded, LLAMA_CPP).statuses(&[503]).says(&["loading model"]),
    Rule::new(Overloaded, LM_STUDIO).says(&["the model has crashed", "model unloaded"]),
];
