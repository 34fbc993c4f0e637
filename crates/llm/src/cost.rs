//! The cost of an answer.

pub use model_turn::{Cost, round_usd};

use crate::catalog;
use crate::event::Usage;
use crate::model::Provider;

/// The cost of an answer; `None` when the model's prices are not known.
///
/// Local models and scripted answers cost nothing.
pub fn cost(model: &str, provider: Provider, usage: &Usage) -> Option<Cost> {
    let (input_cost, output_cost) = if is_free(provider, model) {
        (0.0, 0.0)
    } else {
        let prices = catalog::find(provider, model)?.prices(usage.prompt_tokens);
        let cached = usage.cached_tokens.min(usage.prompt_tokens);
        let written = usage.cache_write_tokens.min(usage.prompt_tokens - cached);
        let fresh = usage.prompt_tokens - cached - written;
        let input = price(fresh, prices.input)
            + price(cached, prices.cached)
            + price(written, prices.cache_write);
        (input, price(usage.completion_tokens, prices.output))
    };
    Some(Cost {
        model: model.to_owned(),
        input_tokens: usage.prompt_tokens,
        output_tokens: usage.completion_tokens,
        input_cost,
        output_cost,
        total_cost: input_cost + output_cost,
        ..Cost::nothing()
    })
}

/// The cost of an answer, also where it is not known.
pub fn cost_or_unknown(model: &str, provider: Provider, usage: &Usage) -> Cost {
    cost(model, provider, usage).unwrap_or_else(|| Cost::unknown(model, usage))
}

fn is_free(provider: Provider, model: &str) -> bool {
    match provider {
        Provider::Ollama | Provider::Offline => true,
        // OpenRouter's suffix for free variants.
        Provider::OpenRouter => model.ends_with(":free"),
        Provider::OpenAi
        | Provider::Anthropic
        | Provider::Google
        | Provider::Xai
        | Provider::Groq
        | Provider::Mistral => false,
    }
}

/// USD for this many tokens at a price per million.
#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn price(tokens: u64, per_million: f64) -> f64 {
    tokens as f64 * per_million / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(prompt: u64, cached: u64, completion: u64) -> Usage {
        Usage {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_tokens: prompt + completion,
            cached_tokens: cached,
            cache_write_tokens: 0,
            reasoning_tokens: 0,
            estimated: false,
        }
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn cached_tokens_cost_less() {
        let cost = cost("gpt-4o-mini", Provider::OpenAi, &usage(1000, 400, 100)).unwrap();
        assert!(close(cost.input_cost, 600.0 * 0.15e-6 + 400.0 * 0.075e-6), "{cost:?}");
        assert!(close(cost.output_cost, 100.0 * 0.6e-6), "{cost:?}");
        assert!(close(cost.total_cost, cost.input_cost + cost.output_cost), "{cost:?}");
    }

    #[test]
    fn tokens_written_to_the_cache_cost_more() {
        let usage = Usage { cache_write_tokens: 500, ..usage(1000, 300, 0) };
        let cost = cost("claude-sonnet-4-5", Provider::Anthropic, &usage).unwrap();
        assert!(
            close(cost.input_cost, 200.0 * 3e-6 + 300.0 * 0.3e-6 + 500.0 * 3.75e-6),
            "{cost:?}"
        );
    }

    #[test]
    fn an_unknown_model_has_no_price_and_a_free_one_costs_nothing() {
        let usage = usage(10, 0, 10);
        assert_eq!(cost("gpt-99", Provider::OpenAi, &usage), None);
        for (provider, model) in [
            (Provider::Ollama, "llama3.2"),
            (Provider::Offline, "gpt-4o-mini"),
            (Provider::OpenRouter, "meta-llama/llama-3:free"),
        ] {
            assert_eq!(cost(model, provider, &usage).unwrap().total_cost, 0.0);
        }
    }

    #[test]
    fn a_cost_has_the_names_of_the_api() {
        let cost = cost("gpt-4o", Provider::OpenAi, &usage(1_000_000, 0, 0)).unwrap();
        assert_eq!(
            serde_json::to_value(&cost).unwrap(),
            serde_json::json!({
                "model": "gpt-4o", "inputTokens": 1_000_000, "outputTokens": 0,
                "inputCost": 2.5, "outputCost": 0.0, "totalCost": 2.5, "currency": "USD",
                "known": true,
            })
        );
    }

    #[test]
    fn amounts_are_shown_to_the_millionth() {
        for (amount, shown) in [(0.1 + 0.2, 0.3), (0.000_000_4, 0.0), (0.123_456_7, 0.123_457)] {
            assert_eq!(round_usd(amount), shown);
        }
    }

    #[test]
    fn a_sum_begins_with_nothing() {
        let one = cost("gpt-4o", Provider::OpenAi, &usage(1_000_000, 0, 1_000_000)).unwrap();
        let sum = Cost::nothing().plus(&one).plus(&one);
        assert_eq!(
            (sum.model.as_str(), sum.input_tokens, sum.total_cost),
            ("gpt-4o", 2_000_000, 25.0)
        );
    }

    #[test]
    fn the_sum_with_an_unknown_cost_has_tokens_and_no_costs() {
        let one = cost("gpt-4o", Provider::OpenAi, &usage(1_000_000, 0, 1_000_000)).unwrap();
        let other = cost_or_unknown("gpt-99", Provider::OpenAi, &usage(10, 0, 5));
        for sum in [one.clone().plus(&other), other.plus(&one)] {
            assert_eq!((sum.input_tokens, sum.output_tokens), (1_000_010, 1_000_005));
            let costs = (sum.input_cost, sum.output_cost, sum.total_cost);
            assert_eq!((costs, sum.known), ((0.0, 0.0, 0.0), false));
        }
        let old = r#"{"model":"m","inputTokens":1,"outputTokens":1,"inputCost":1.0,"outputCost":1.0,
            "totalCost":2.0,"currency":"USD"}"#;
        assert!(serde_json::from_str::<Cost>(old).unwrap().known);
    }
}
