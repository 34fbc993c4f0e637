//! Usage, wherever servers put it.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/chat-streaming> (an extra chunk),
//! <https://platform.moonshot.ai/docs/api/chat> (`choices[0].usage`, `cached_tokens`),
//! <https://console.groq.com/docs/api-reference#chat> (`x_groq`),
//! <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html> (each chunk, growing),
//! <https://api-docs.deepseek.com/guides/kv_cache> (`prompt_cache_hit_tokens`).

use serde::Deserialize;
use serde_json::Value;

use crate::event::Usage;
use crate::provider::wire::{MAX_COUNT, at, count_of};

/// The counts of a usage, by any server's names. A count of zero says nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Counts {
    prompt_tokens: Option<u64>,
    input_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    prompt_cache_hit_tokens: Option<u64>,
    cached_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Debug, Default, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Counts {
    fn read(usage: &Value) -> Self {
        let count = |name: &str| usage.get(name).map(count_of);
        let detail = |details: &str, name: &str| usage.get(details)?.get(name).map(count_of);
        Self {
            prompt_tokens: count("prompt_tokens"),
            input_tokens: count("input_tokens"),
            completion_tokens: count("completion_tokens"),
            output_tokens: count("output_tokens"),
            total_tokens: count("total_tokens"),
            prompt_cache_hit_tokens: count("prompt_cache_hit_tokens"),
            cached_tokens: count("cached_tokens"),
            prompt_tokens_details: Some(PromptDetails {
                cached_tokens: detail("prompt_tokens_details", "cached_tokens"),
                cache_write_tokens: detail("prompt_tokens_details", "cache_write_tokens"),
            }),
            completion_tokens_details: Some(CompletionDetails {
                reasoning_tokens: detail("completion_tokens_details", "reasoning_tokens"),
            }),
        }
    }

    /// Takes over what they tell.
    pub(super) fn add_to(&self, usage: &mut Usage) {
        let told = self.usage();
        for (field, told) in [
            (&mut usage.prompt_tokens, told.prompt_tokens),
            (&mut usage.completion_tokens, told.completion_tokens),
            (&mut usage.cached_tokens, told.cached_tokens),
            (&mut usage.cache_write_tokens, told.cache_write_tokens),
            (&mut usage.reasoning_tokens, told.reasoning_tokens),
        ] {
            if told > 0 {
                *field = told;
            }
        }
    }

    fn usage(&self) -> Usage {
        // The first one that has a count.
        let count = |counts: &[Option<u64>]| {
            let found = counts.iter().flatten().find(|count| **count > 0);
            found.copied().unwrap_or_default().min(MAX_COUNT)
        };
        let in_prompt = self.prompt_tokens_details.as_ref();
        let in_completion = self.completion_tokens_details.as_ref();
        let prompt = count(&[self.prompt_tokens, self.input_tokens]);
        let mut completion = count(&[self.completion_tokens, self.output_tokens]);
        let reasoning = count(&[in_completion.and_then(|details| details.reasoning_tokens)]);
        let total = count(&[self.total_tokens]);
        // xAI counts reasoning tokens separately from the completion.
        if reasoning > 0 && total == prompt + completion + reasoning {
            completion += reasoning;
        }
        if completion == 0 && prompt > 0 {
            completion = total.saturating_sub(prompt);
        }
        Usage {
            prompt_tokens: prompt,
            completion_tokens: completion,
            cached_tokens: count(&[
                in_prompt.and_then(|details| details.cached_tokens),
                self.prompt_cache_hit_tokens,
                self.cached_tokens,
            ]),
            cache_write_tokens: count(&[in_prompt.and_then(|details| details.cache_write_tokens)]),
            reasoning_tokens: reasoning,
            ..Usage::default()
        }
    }
}

/// Takes over what an event or a whole answer tells.
pub(super) fn read(body: &Value, choice: Option<&Value>, usage: &mut Usage) {
    let places = [
        body.get("usage"),
        at(body, "/x_groq/usage"),
        choice.and_then(|choice| choice.get("usage")),
    ];
    for told in places.into_iter().flatten().filter(|told| told.is_object()) {
        Counts::read(told).add_to(usage);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn after(events: &[Value]) -> [u64; 4] {
        let mut usage = Usage::default();
        for event in events {
            read(event, event.pointer("/choices/0"), &mut usage);
        }
        let Usage { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, .. } = usage;
        [prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens]
    }

    #[test]
    fn thoughts_that_are_counted_beside_the_answer_are_paid_too() {
        let usage = |completion: u64| {
            json!({ "usage": { "prompt_tokens": 10, "completion_tokens": completion, "total_tokens": 35,
                "completion_tokens_details": { "reasoning_tokens": 20 } } })
        };
        assert_eq!(after(&[usage(5)])[1], 25);
        assert_eq!(after(&[usage(25)])[1], 25);
    }

    #[test]
    fn counts_are_found_wherever_they_are() {
        let counts = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
        for event in [
            json!({ "usage": counts }),
            json!({ "choices": [], "usage": counts }),
            json!({ "choices": [{ "index": 0, "usage": counts }] }),
            json!({ "x_groq": { "id": "r", "usage": counts } }),
            json!({ "usage": null, "choices": [{ "usage": counts }] }),
            json!({ "usage": { "input_tokens": 7, "output_tokens": 3 } }),
            json!({ "usage": { "prompt_tokens": 7, "total_tokens": 10 } }),
        ] {
            assert_eq!(after(std::slice::from_ref(&event)), [7, 3, 0, 0], "{event}");
        }
        for cached in [
            json!({ "prompt_tokens": 7, "prompt_tokens_details": { "cached_tokens": 4 } }),
            json!({ "prompt_tokens": 7, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 3 }),
            json!({ "prompt_tokens": 7, "cached_tokens": 4 }),
        ] {
            assert_eq!(after(&[json!({ "usage": cached })]), [7, 0, 4, 0], "{cached}");
        }
    }

    #[test]
    fn growing_counts_end_with_the_last_and_zeros_take_nothing_away() {
        let usage = |prompt: u64, completion: u64| json!({ "usage": { "prompt_tokens": prompt, "completion_tokens": completion } });
        let events = [usage(7, 0), usage(7, 1), usage(7, 3), usage(0, 0), json!({ "usage": null })];
        assert_eq!(after(&events), [7, 3, 0, 0]);
        assert_eq!(after(&[json!({ "usage": {} })]), [0; 4]);
    }
}
