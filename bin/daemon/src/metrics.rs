//! The Prometheus metrics. Labels are bounded: no user, no session, and no name that a caller or a
//! model made up.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use llm::Tally;
use llm::event::Completion;
use llm::model::ModelRef;
use service::metrics::{BuildError, Counter, Histogram, Label, Registry};
use wombat_core::workspace::{PolicyEffect, Snapshot};

/// The label value for every name that is not configured.
const OTHER: &str = "other";

/// Seconds; from a replayed reply to the longest run.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

const RUNS: &str = "wombat_runs_total";
const RUN_SECONDS: &str = "wombat_run_duration_seconds";
const IN_FLIGHT: &str = "wombat_runs_in_flight";
const TOOL_CALLS: &str = "wombat_tool_calls_total";
const TOOL_SECONDS: &str = "wombat_tool_call_duration_seconds";
const MODEL_CALLS: &str = "wombat_llm_calls_total";
const MODEL_SECONDS: &str = "wombat_llm_call_duration_seconds";
const FIRST_TEXT: &str = "wombat_llm_time_to_first_token_seconds";
const RETRIES: &str = "wombat_llm_retries_total";
const FALLBACKS: &str = "wombat_llm_fallbacks_total";
const TOKENS: &str = "wombat_llm_tokens_total";
const COST: &str = "wombat_llm_cost_micro_usd_total";
const POLICY: &str = "wombat_policy_problems";

/// All metrics with their help texts.
const ALL: [(&str, &str); 13] = [
    (RUNS, "Runs that have ended, by role and outcome."),
    (RUN_SECONDS, "How long runs took, by outcome."),
    (IN_FLIGHT, "Runs that are going on."),
    (TOOL_CALLS, "Calls of tools, by tool and outcome."),
    (TOOL_SECONDS, "How long calls of tools took, by tool."),
    (MODEL_CALLS, "Calls of models, by model and outcome; retries are part of a call."),
    (MODEL_SECONDS, "How long calls of models took, with their retries, by model."),
    (FIRST_TEXT, "How long the first text of a streamed answer took, by model that was asked."),
    (RETRIES, "Calls of models that were made again after a wait, by model that was asked first."),
    (FALLBACKS, "Calls that the fallback took over, by model that was asked first."),
    (TOKENS, "Tokens, by model and kind."),
    (COST, "What models cost, millionths of a US dollar, where prices are known."),
    (POLICY, "Files of rules that cannot be used, by effect: last_good, or no_runs."),
];

/// The metrics of one daemon.
pub struct Metrics {
    registry: Registry,
    /// The models that the settings name.
    models: HashMap<ModelRef, ModelSeries>,
    /// All others.
    other: OnceLock<ModelSeries>,
}

/// The series of a model, created once; those of answers are created with the first answer.
struct ModelSeries {
    model: Label,
    ok: Counter,
    error: Counter,
    retries: Counter,
    fallbacks: Counter,
    seconds: OnceLock<Histogram>,
    tokens: OnceLock<[Counter; 3]>,
    cost: OnceLock<Counter>,
}

impl ModelSeries {
    fn new(registry: &Registry, name: String) -> Self {
        let model = Label::new("model", name);
        let counter_of = |name| registry.counter(name, vec![model.clone()]);
        let of_calls = |ok| {
            registry.counter(MODEL_CALLS, vec![model.clone(), outcome_label(result_label(ok))])
        };
        Self {
            ok: of_calls(true),
            error: of_calls(false),
            retries: counter_of(RETRIES),
            fallbacks: counter_of(FALLBACKS),
            seconds: OnceLock::new(),
            tokens: OnceLock::new(),
            cost: OnceLock::new(),
            model,
        }
    }
}

impl Metrics {
    /// All counters at zero. `models` are the ones that get a label of their own.
    ///
    /// # Errors
    /// When the buckets are invalid.
    pub fn new(models: Vec<ModelRef>) -> Result<Self, BuildError> {
        let registry = Registry::new(&BUCKETS)?;
        for (name, text) in ALL {
            match name {
                RUN_SECONDS | TOOL_SECONDS | MODEL_SECONDS | FIRST_TEXT => {
                    registry.describe_histogram(name, text);
                }
                IN_FLIGHT | POLICY => registry.describe_gauge(name, text),
                _ => registry.describe_counter(name, text),
            }
        }
        // Series that start at zero, so that the first failure is an increase.
        let series = |model: ModelRef| {
            let series = ModelSeries::new(&registry, model.to_string());
            for counter in [&series.ok, &series.error, &series.retries, &series.fallbacks] {
                counter.increment(0);
            }
            (model, series)
        };
        let models = models.into_iter().map(series).collect();
        Ok(Self { registry, models, other: OnceLock::new() })
    }

    /// Counts a run that has ended. `role` is `None` for one that the workspace does not know.
    pub fn run(&self, role: Option<&str>, outcome: &'static str, took: Duration) {
        let role = role.unwrap_or(OTHER).to_owned();
        let labels = vec![Label::new("role", role), outcome_label(outcome)];
        self.registry.counter(RUNS, labels.clone()).increment(1);
        self.registry.histogram(RUN_SECONDS, labels).record(took);
    }

    /// Counts a tool call. `name` is `None` for a tool that does not exist.
    pub fn tool(&self, name: Option<&str>, ok: bool, took: Duration) {
        let tool = Label::new("tool", name.unwrap_or(OTHER).to_owned());
        self.registry
            .counter(TOOL_CALLS, vec![tool.clone(), outcome_label(result_label(ok))])
            .increment(1);
        self.registry.histogram(TOOL_SECONDS, vec![tool]).record(took);
    }

    /// Records the time to the first text of a streamed answer.
    pub fn first_text(&self, asked: &ModelRef, took: Duration) {
        self.registry.histogram(FIRST_TEXT, vec![self.series_of(asked).model.clone()]).record(took);
    }

    /// Counts a model call. `answered` is the answer, if there was one; `tally` holds its retries and
    /// fallbacks.
    pub fn model(
        &self,
        asked: &ModelRef,
        answered: Option<&Completion>,
        tally: &Tally,
        took: Duration,
    ) {
        let first = self.series_of(asked);
        first.retries.increment(tally.retries());
        first.fallbacks.increment(tally.fallbacks());
        let by = answered.map(|completion| ModelRef::new(completion.provider, &completion.model));
        let by = by.as_ref().map_or(first, |model| self.series_of(model));
        let seconds = || self.registry.histogram(MODEL_SECONDS, vec![by.model.clone()]);
        by.seconds.get_or_init(seconds).record(took);
        let Some(completion) = answered else { return by.error.increment(1) };
        by.ok.increment(1);
        let tokens = by.tokens.get_or_init(|| {
            ["input", "output", "cached"].map(|kind| {
                let kind = Label::from_static_parts("kind", kind);
                self.registry.counter(TOKENS, vec![by.model.clone(), kind])
            })
        });
        let usage = &completion.usage;
        let counts = [usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens];
        for (counter, count) in tokens.iter().zip(counts) {
            counter.increment(count);
        }
        let price = llm::cost(&completion.model, completion.provider, &completion.usage);
        if let Some(price) = price {
            let cost = || self.registry.counter(COST, vec![by.model.clone()]);
            by.cost.get_or_init(cost).increment(micro(price.total_cost));
        }
    }

    /// The Prometheus text.
    pub fn render(&self, in_flight: usize, workspace: &Snapshot) -> String {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.registry.gauge(IN_FLIGHT, Vec::new()).set(count(in_flight));
        for (effect, label) in
            [(PolicyEffect::LastGood, "last_good"), (PolicyEffect::NoRuns, "no_runs")]
        {
            let labels = vec![Label::from_static_parts("effect", label)];
            self.registry.gauge(POLICY, labels).set(count(workspace.policy_problems(effect)));
        }
        self.registry.render()
    }

    /// Folds observations into the buckets, which keeps the memory bounded.
    pub fn upkeep(&self) {
        self.registry.upkeep();
    }

    fn series_of(&self, model: &ModelRef) -> &ModelSeries {
        self.models.get(model).unwrap_or_else(|| {
            self.other.get_or_init(|| ModelSeries::new(&self.registry, OTHER.to_owned()))
        })
    }
}

fn outcome_label(outcome: &'static str) -> Label {
    Label::from_static_parts("outcome", outcome)
}

fn result_label(ok: bool) -> &'static str {
    if ok { "ok" } else { "error" }
}

/// Millionths of a dollar; counters are whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "prices are small and positive"
)]
fn micro(usd: f64) -> u64 {
    (usd * 1e6).round().max(0.0) as u64
}
