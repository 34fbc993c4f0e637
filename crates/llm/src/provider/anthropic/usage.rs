//! Usage, which is sent at the beginning and, more exactly, at the end.

use serde_json::Value;

use crate::event::Usage;
use crate::provider::wire::count_at;

/// What was counted so far. Some servers know the numbers only at the beginning and repeat them as
/// zeros, others only at the end: a zero never overwrites a count.
#[derive(Debug, Default)]
pub(super) struct Counted {
    input: u64,
    output: u64,
    read: u64,
    written: u64,
    thinking: u64,
}

impl Counted {
    /// Takes newer counts. They are cumulative
    /// (<https://platform.claude.com/docs/en/build-with-claude/streaming>).
    pub(super) fn take(&mut self, usage: &Value) {
        let count = |path: &str| count_at(usage, path);
        let written = count("/cache_creation/ephemeral_5m_input_tokens")
            + count("/cache_creation/ephemeral_1h_input_tokens");
        for (field, newer) in [
            (&mut self.input, count("/input_tokens")),
            (&mut self.output, count("/output_tokens")),
            (&mut self.read, count("/cache_read_input_tokens")),
            (&mut self.written, count("/cache_creation_input_tokens").max(written)),
            (&mut self.thinking, count("/output_tokens_details/thinking_tokens")),
        ] {
            if newer > 0 {
                *field = newer;
            }
        }
    }

    /// The prompt includes cached tokens.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.input + self.read + self.written,
            completion_tokens: self.output,
            cached_tokens: self.read,
            cache_write_tokens: self.written,
            reasoning_tokens: self.thinking,
            ..Usage::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn zeros_never_overwrite_counts() {
        let mut counted = Counted::default();
        counted.take(&json!({ "input_tokens": 50, "output_tokens": 1, "cache_read_input_tokens": 7,
            "cache_creation": { "ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3 } }));
        counted
            .take(&json!({ "input_tokens": 0, "output_tokens": 20, "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0 }));
        counted.take(&json!({ "output_tokens": null }));
        counted.take(&Value::Null);
        let usage = counted.usage();
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (62, 20));
        assert_eq!((usage.cached_tokens, usage.cache_write_tokens), (7, 5));
    }

    #[test]
    fn counts_may_come_at_the_end_only() {
        let mut counted = Counted::default();
        counted.take(&json!({ "input_tokens": 0, "output_tokens": 0 }));
        assert!(counted.usage().is_unknown());
        counted.take(&json!({ "input_tokens": 9, "output_tokens": 4,
            "output_tokens_details": { "thinking_tokens": 3 } }));
        let usage = counted.usage();
        assert_eq!(
            (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens),
            (9, 4, 3)
        );
    }
}
