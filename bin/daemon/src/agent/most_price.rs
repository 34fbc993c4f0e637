//! What a model call can cost at most.

use llm::event::Usage;
use llm::model::ModelRef;

/// The highest price of a call with a prompt of some length, USD. The prompt is taken to be written to
/// the provider's cache, where that costs more, and the answer has the price that goes with the prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MostPrice {
    /// Of the prompt.
    pub(super) prompt: f64,
    /// Of a token of the answer.
    pub(super) per_token: f64,
}

impl MostPrice {
    /// `None` when the model's price is not known.
    pub(super) fn of(model: &ModelRef, prompt_tokens: u64) -> Option<Self> {
        let million = Usage {
            prompt_tokens,
            cache_write_tokens: prompt_tokens,
            completion_tokens: 1_000_000,
            ..Usage::default()
        };
        let cost = llm::cost(&model.name, model.provider, &million)?;
        Some(Self { prompt: cost.input_cost, per_token: cost.output_cost / 1e6 })
    }

    /// The price with an answer of so many tokens.
    pub(super) fn with_answer(self, tokens: u32) -> f64 {
        self.prompt + self.per_token * f64::from(tokens)
    }

    /// The longest answer that so much pays for, tokens.
    pub(super) fn answer_for(self, usd: f64) -> u32 {
        if self.per_token > 0.0 { floor((usd - self.prompt) / self.per_token) } else { u32::MAX }
    }
}

/// A number of tokens, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate"
)]
pub(super) fn floor(tokens: f64) -> u32 {
    tokens as u32
}

#[cfg(test)]
mod tests {
    use llm::model::Provider;

    use super::*;

    #[test]
    fn a_long_prompt_makes_the_answer_dearer() {
        let model = ModelRef::new(Provider::Google, "gemini-2.5-pro");
        let per_million = |tokens| MostPrice::of(&model, tokens).unwrap().with_answer(1_000_000);
        assert!((10.0..10.3).contains(&per_million(200_000)), "{}", per_million(200_000));
        assert!((15.5..15.6).contains(&per_million(200_001)), "{}", per_million(200_001));
    }

    #[test]
    fn a_prompt_that_is_written_to_the_cache_costs_more() {
        let model = ModelRef::new(Provider::Anthropic, "claude-sonnet-4-5");
        let price = MostPrice::of(&model, 100_000).unwrap();
        assert!((price.prompt - 0.375).abs() < 1e-9, "{price:?}");
        assert_eq!(price.answer_for(0.375 + 0.0301), 2_006);
        assert_eq!(price.answer_for(0.3), 0);
    }
}
