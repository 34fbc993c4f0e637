//! Typed results: the schema that a run's reply has to fit, and what became of the reply.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wombat_core::agent_config::OutputSpec;

/// The output that the reply has to have. It is a part of step 0 of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputFormat {
    /// The JSON Schema.
    pub schema: Value,
    /// Its name for the model's provider.
    pub name: String,
    /// Whether the run fails when there is no such reply.
    pub strict: bool,
    /// Whether it is the role's, and not the caller's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
}

impl OutputFormat {
    /// The output that a caller asks for, or (`fixed`) that a role always has.
    pub fn new(spec: &OutputSpec, fixed: bool) -> Self {
        let OutputSpec { schema, name, strict } = spec.clone();
        Self { schema, name, strict, fixed }
    }

    /// The part of the request that its key stands for: nothing where the caller asked for nothing.
    pub(super) fn named_by_key(&self) -> Option<Value> {
        let Self { schema, name, strict, fixed } = self;
        (!fixed).then(|| json!({ "schema": schema, "name": name, "strict": strict }))
    }
}

/// What became of the reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// It fits.
    Fits(Value),
    /// It does not, and is text.
    Misfits(Vec<String>),
}

/// A reply that was never valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// What does not fit.
    pub errors: Vec<String>,
    /// The last reply: JSON, or text where it is none.
    pub output: Value,
}
