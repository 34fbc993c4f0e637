//! How an answer ends, by the servers' words.

use serde_json::Value;

use crate::event::FinishReason;
use crate::provider::wire::{End, str_at};

/// The words of a good end. Whatever is not here is a failure, such as `abort` (vLLM, SGLang),
/// `insufficient_system_resource` (DeepSeek), `network_error` (Zhipu), `error` (Mistral, OpenRouter),
/// `load` (Ollama), `function_call_filter: MALFORMED_FUNCTION_CALL` (Gemini).
///
/// Sources:
/// - OpenAI: <https://platform.openai.com/docs/api-reference/chat/object>
/// - Mistral (`model_length`): <https://docs.mistral.ai/api/#tag/chat>
/// - Together (`eos`): <https://docs.together.ai/reference/chat-completions-1>
/// - Text Generation Inference (`eos_token`, `stop_sequence`):
///   <https://huggingface.co/docs/text-generation-inference/messages_api>
/// - Zhipu (`sensitive`, `model_context_window_exceeded`):
///   <https://docs.z.ai/api-reference/llm/chat-completion>
/// - OpenRouter: <https://openrouter.ai/docs/api-reference/overview>
/// - gateways that pass on the words of Anthropic, Bedrock, Cohere and Gemini:
///   <https://docs.anthropic.com/en/api/handling-stop-reasons>,
///   <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
///   <https://docs.cohere.com/v2/reference/chat>, <https://ai.google.dev/api/generate-content>
const GOOD: [(FinishReason, &[&str]); 4] = [
    (
        FinishReason::Stop,
        &["stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "end_of_turn"],
    ),
    (
        FinishReason::Length,
        &[
            "length",
            "max_tokens",
            "max_output_tokens",
            "model_length",
            "model_context_window_exceeded",
        ],
    ),
    (FinishReason::ToolCalls, &["tool_calls", "tool_call", "function_call", "tool_use"]),
    (
        FinishReason::ContentFilter,
        &[
            "content_filter",
            "content_filtered",
            "guardrail_intervened",
            "sensitive",
            "refusal",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
        ],
    ),
];

/// Words of the model's own provider that OpenRouter sends beside a `stop`, and that are no good end.
const BAD_NATIVE: [&str; 6] =
    ["malformed_function_call", "unexpected_tool_call", "other", "error", "abort", "network_error"];

/// The end that a choice tells, if it does.
pub(super) fn end(choice: &Value) -> Option<End> {
    of_words([str_at(choice, "/finish_reason"), str_at(choice, "/native_finish_reason")])
}

/// The end that a finish reason tells, and the one of the model's own provider.
pub(super) fn of_words([word, native]: [&str; 2]) -> Option<End> {
    if word.is_empty() {
        return None;
    }
    if is_one_of(native, &BAD_NATIVE) {
        return Some(End::Bad(native.to_owned()));
    }
    // Gemini's server says why: `content_filter: SAFETY`.
    let known = word.split_once(':').map_or(word, |(word, _)| word);
    let good = GOOD.iter().find(|(_, words)| is_one_of(known, words));
    Some(good.map_or_else(|| End::Bad(word.to_owned()), |(reason, _)| End::Good(*reason)))
}

fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_known_word_is_a_good_end() {
        for (word, expected) in [
            ("stop", Some(End::Good(FinishReason::Stop))),
            ("STOP", Some(End::Good(FinishReason::Stop))),
            ("eos", Some(End::Good(FinishReason::Stop))),
            ("model_length", Some(End::Good(FinishReason::Length))),
            ("function_call", Some(End::Good(FinishReason::ToolCalls))),
            ("content_filter: SAFETY", Some(End::Good(FinishReason::ContentFilter))),
            ("sensitive", Some(End::Good(FinishReason::ContentFilter))),
            ("", None),
        ] {
            assert_eq!(end(&json!({ "finish_reason": word })), expected, "{word}");
        }
        for word in [
            "abort",
            "error",
            "network_error",
            "cancelled",
            "insufficient_system_resource",
            "load",
            "function_call_filter: MALFORMED_FUNCTION_CALL",
            "whatever comes next",
        ] {
            let bad = Some(End::Bad(word.to_owned()));
            assert_eq!(end(&json!({ "finish_reason": word })), bad, "{word}");
        }
        assert_eq!(end(&json!({ "finish_reason": null })), None);
        assert_eq!(end(&json!({})), None);
    }

    #[test]
    fn the_words_of_the_models_own_provider_count_beside_a_stop() {
        let choice =
            |native: &str| json!({ "finish_reason": "stop", "native_finish_reason": native });
        assert_eq!(end(&choice("end_turn")), Some(End::Good(FinishReason::Stop)));
        let bad = Some(End::Bad("MALFORMED_FUNCTION_CALL".to_owned()));
        assert_eq!(end(&choice("MALFORMED_FUNCTION_CALL")), bad);
    }
}
