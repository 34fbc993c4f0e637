//! What a customer's profile makes of a run: everything in it can only narrow.

use std::sync::Arc;
use std::time::Duration;

use llm::Tier;
use llm::model::ModelRef;
use wombat_core::agent_config::CustomerRules;
use zones::Zone;

use super::request::RunLimits;

/// The name of the workspace that `WOMBAT_WORKSPACE` is.
pub const DEFAULT_WORKSPACE: &str = "default";

/// A profile as a run uses it.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The digest of the profile; `None` where the backend has none.
    pub digest: Option<String>,
    /// The name of the workspace.
    pub workspace: String,
    /// The customer that the user belongs to.
    pub tenant_id: Option<String>,
    /// The user's language.
    pub locale: Option<String>,
    /// The user's zone, for requests that name none.
    pub timezone: Option<Zone>,
    /// The last section of the system prompt.
    pub prompt_append: Option<String>,
    /// Rules on tools.
    pub rules: Option<Arc<CustomerRules>>,
    /// The only models that are asked.
    pub models: Option<CustomerModels>,
    /// The most that a run may use.
    pub limits: CustomerLimits,
    /// Whether it was not read: a stored reply answers the request, or the backend is away. No model is asked
    /// then, where the backend has profiles.
    pub is_unread: bool,
}

impl Default for Customer {
    fn default() -> Self {
        Self {
            digest: None,
            workspace: DEFAULT_WORKSPACE.to_owned(),
            tenant_id: None,
            locale: None,
            timezone: None,
            prompt_append: None,
            rules: None,
            models: None,
            limits: CustomerLimits::default(),
            is_unread: false,
        }
    }
}

/// The model of each tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerModels {
    /// The default tier's.
    pub default: ModelRef,
    /// The cheap tier's.
    pub cheap: ModelRef,
    /// The best tier's.
    pub best: ModelRef,
    /// Whether the settings' fallback is one of them, and so may be asked.
    pub falls_back: bool,
}

/// The most that a run may use.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CustomerLimits {
    /// Turns in which the model may call tools.
    pub max_steps: Option<u32>,
    /// Output tokens of one model call.
    pub max_output_tokens: Option<u32>,
    /// US dollars for all model calls together.
    pub max_cost_usd: Option<f64>,
    /// The timeout.
    pub timeout: Option<Duration>,
}

impl Customer {
    /// The model of a tier; `None` leaves it to the settings.
    pub fn model(&self, tier: Tier) -> Option<&ModelRef> {
        let models = self.models.as_ref()?;
        Some(match tier {
            Tier::Default => &models.default,
            Tier::Cheap => &models.cheap,
            Tier::Best => &models.best,
        })
    }

    /// Whether the settings' fallback may be asked.
    pub fn falls_back(&self) -> bool {
        self.models.as_ref().is_none_or(|models| models.falls_back)
    }

    /// The smallest of both, field by field.
    pub fn narrow(&self, limits: RunLimits) -> RunLimits {
        fn least<T: PartialOrd>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(if other < one { other } else { one }),
                (one, other) => one.or(other),
            }
        }
        let own = self.limits;
        RunLimits {
            max_steps: own.max_steps.map_or(limits.max_steps, |own| own.min(limits.max_steps)),
            max_output_tokens: least(limits.max_output_tokens, own.max_output_tokens),
            max_cost_usd: least(limits.max_cost_usd, own.max_cost_usd),
            timeout: own.timeout.map_or(limits.timeout, |own| own.min(limits.timeout)),
        }
    }

    /// A system prompt with the customer's section after all others.
    pub fn append_to(&self, system: &mut String) {
        if let Some(text) = &self.prompt_append {
            *system += "\n\n## Customer\n\n";
            *system += text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_holds_field_by_field() {
        let limits = CustomerLimits {
            max_steps: Some(9),
            max_output_tokens: Some(100),
            max_cost_usd: Some(0.5),
            timeout: Some(Duration::from_secs(7)),
        };
        let customer = Customer { limits, ..Customer::default() };
        let asked = RunLimits {
            max_steps: 3,
            max_output_tokens: None,
            max_cost_usd: Some(0.25),
            timeout: Duration::from_secs(60),
        };
        let expected = RunLimits {
            max_steps: 3,
            max_output_tokens: Some(100),
            max_cost_usd: Some(0.25),
            timeout: Duration::from_secs(7),
        };
        assert_eq!(customer.narrow(asked), expected);
        assert_eq!(Customer::default().narrow(asked), asked);
    }
}
