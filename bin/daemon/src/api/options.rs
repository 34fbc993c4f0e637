//! What steers a run: `metadata` and `limits` of a request, read into [`RunOptions`] and [`RunLimits`].

use std::collections::BTreeMap;
use std::time::Duration;

use daemon_api::metadata as names;
use serde_json::{Map, Value};
use zones::parse_zone;

use super::fields::Fields;
use crate::run::customer::Customer;
use crate::run::lineage::{CHAIN, chain_of};
use crate::run::request::{Kickoff, RunKind, RunLimits, RunOptions};
use crate::state::App;

/// The options in `metadata`; `None` when one is invalid.
pub(super) fn read_options(
    app: &App,
    metadata: &Map<String, Value>,
    problems: &mut BTreeMap<String, String>,
) -> Option<RunOptions> {
    let mut fields = Fields::new(metadata, "metadata.", problems);
    let system_prompt = fields.non_blank_text("system_prompt");
    let note = fields.non_blank_text("kickoff_note");
    let title = fields.non_blank_text("plan_title");
    let kickoff = fields.flag("kickoff_plan").unwrap_or(false).then_some(Kickoff { note, title });
    // All three are read before any failure ends the reading, so that all problems are named.
    let timezone = match fields.non_blank_text("timezone") {
        None => Some(app.settings.timezone),
        Some(name) => {
            parse_zone(&name).map_err(|error| fields.problem("timezone", error.to_string())).ok()
        }
    };
    let prompt_mode = match fields.text("prompt_mode") {
        None => Some(wombat_core::workspace::PromptMode::Full),
        Some(text) => {
            text.parse().map_err(|()| fields.problem("prompt_mode", "must be full or minimal")).ok()
        }
    };
    let model_tier = match fields.text("model_tier") {
        None => Some(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|()| fields.problem("model_tier", "must be default, cheap or best"))
            .ok(),
    };
    let kind = match fields.text(names::TYPE).as_deref() {
        Some(names::NOTIFICATION) => RunKind::Notification,
        Some("heartbeat") => RunKind::Heartbeat,
        Some(_) | None => RunKind::Message,
    };
    if kind == RunKind::Notification
        && let Err(why) = chain_of(metadata)
    {
        fields.problem(CHAIN, why);
    }
    Some(RunOptions {
        system_prompt,
        kickoff,
        timezone: timezone?,
        prompt_mode: prompt_mode?,
        model_tier: model_tier?,
        kind,
    })
}

/// What the customer's profile makes of a run: its zone where the request names none, and the smaller limits.
pub(super) fn narrow(
    customer: &Customer,
    metadata: &Map<String, Value>,
    options: RunOptions,
    limits: RunLimits,
) -> (RunOptions, RunLimits) {
    let names_zone = metadata
        .get("timezone")
        .and_then(Value::as_str)
        .is_some_and(|zone| !zone.trim().is_empty());
    let timezone = match customer.timezone {
        Some(zone) if !names_zone => zone,
        _ => options.timezone,
    };
    (RunOptions { timezone, ..options }, customer.narrow(limits))
}

/// The caller's limits, each capped by the daemon's setting.
pub(super) fn read_limits(
    app: &App,
    given: &Map<String, Value>,
    detached: bool,
    problems: &mut BTreeMap<String, String>,
) -> RunLimits {
    let own = &app.settings;
    let longest = if detached { own.background.timeout } else { own.run_timeout };
    let mut fields = Fields::new(given, "limits.", problems);
    let max_steps = fields.integer("max_steps", 0).and_then(|n| u32::try_from(n).ok());
    let max_output_tokens = fields.integer("max_output_tokens", 1);
    let max_cost_usd = fields.non_negative("max_cost_usd");
    let timeout = fields.integer("timeout_secs", 1).map(Duration::from_secs);
    RunLimits {
        max_steps: max_steps.map_or(own.max_steps, |steps| steps.min(own.max_steps)),
        max_output_tokens: max_output_tokens.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        max_cost_usd,
        timeout: timeout.map_or(longest, |timeout| timeout.min(longest)),
    }
}
