//! The cost of answers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use crate::usage::Usage;

/// The cost of one answer or the sum of several. The field names are those of docs/API.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The model; for a sum, the last one.
    pub model: String,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Cost of the prompts, USD.
    #[serde(serialize_with = "write_usd")]
    pub input_cost: f64,
    /// Cost of the answers, USD.
    #[serde(serialize_with = "write_usd")]
    pub output_cost: f64,
    /// Total, USD.
    #[serde(serialize_with = "write_usd")]
    pub total_cost: f64,
    /// `USD`.
    pub currency: Cow<'static, str>,
    /// Whether all prices are known; the costs are 0 where one is not.
    #[serde(default = "yes")]
    pub known: bool,
}

/// Costs that were written without the field were known.
fn yes() -> bool {
    true
}

impl Cost {
    /// Zero, to start a sum from.
    pub fn nothing() -> Self {
        Self {
            model: String::new(),
            input_tokens: 0,
            output_tokens: 0,
            input_cost: 0.0,
            output_cost: 0.0,
            total_cost: 0.0,
            currency: Cow::Borrowed("USD"),
            known: true,
        }
    }

    /// The tokens of an answer whose price is not known.
    pub fn unknown(model: &str, usage: &Usage) -> Self {
        Self {
            model: model.to_owned(),
            input_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens,
            known: false,
            ..Self::nothing()
        }
    }

    /// Adds another cost. The sum with one that is not known is not known.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        let known = self.known && other.known;
        let sum = |a: f64, b: f64| if known { a + b } else { 0.0 };
        Self {
            model: if other.model.is_empty() { self.model } else { other.model.clone() },
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            input_cost: sum(self.input_cost, other.input_cost),
            output_cost: sum(self.output_cost, other.output_cost),
            total_cost: sum(self.total_cost, other.total_cost),
            currency: self.currency,
            known,
        }
    }
}

/// An amount as it is shown to people and programs: US dollars, rounded to millionths. Sums are made
/// before.
pub fn round_usd(amount: f64) -> f64 {
    (amount * 1e6).round() / 1e6
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn write_usd<S: Serializer>(amount: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(round_usd(*amount))
}
