//! `output` of a request, and the one that a role always has.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, OutputSpec};

use super::error::ApiError;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::output::OutputFormat;
use crate::run::request::{RunKind, RunOptions};
use schemas::reply::compile;

/// Reads `output`, and compiles its schema.
pub(super) async fn read(
    given: Option<&Value>,
    problems: &mut BTreeMap<String, String>,
) -> Option<OutputFormat> {
    let given = given.filter(|given| !given.is_null())?;
    let spec = match OutputSpec::read(given) {
        Ok(spec) => spec,
        Err(found) => {
            for (place, why) in found {
                problems.entry(path(place)).or_insert(why);
            }
            return None;
        }
    };
    if let Err(why) = compile(&spec.schema).await {
        problems.insert(path("schema"), why);
        return None;
    }
    Some(OutputFormat::new(&spec, false))
}

fn path(place: &str) -> String {
    if place.is_empty() { "output".to_owned() } else { format!("output.{place}") }
}

/// The output of a run: the one of the role where it has one, else the caller's.
///
/// # Errors
/// 400 `output_fixed` where the caller asks for another one than the role's, `invalid_payload` where a
/// kickoff's plan could not be text; 503 where the role's own schema cannot be used.
pub(super) async fn of_run(
    profile: &AgentProfile,
    options: &RunOptions,
    given: Option<OutputFormat>,
) -> Result<Option<Arc<OutputFormat>>, ApiError> {
    let fixed = profile.output.as_deref().filter(|_| options.kind != RunKind::Heartbeat);
    if options.kickoff.is_some() && (fixed.is_some() || given.is_some()) {
        let why = match fixed {
            Some(_) => format!(
                "a plan is text, and the role {} always answers with the output of agent-config.json",
                profile.role
            ),
            None => "a plan is text; leave out output or metadata.kickoff_plan".to_owned(),
        };
        let fields = BTreeMap::from([(path(""), why)]);
        return Err(ApiError::fields("invalid_payload", fields));
    }
    let Some(fixed) = fixed else { return Ok(given.map(Arc::new)) };
    let fixed = OutputFormat::new(fixed, true);
    if given.is_some_and(|given| OutputFormat { fixed: true, ..given } != fixed) {
        let why = format!(
            "output: the role {} has one of its own in agent-config.json; leave it out",
            profile.role
        );
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "output_fixed", why));
    }
    // The request is refused before anything is made for it.
    if let Err(why) = compile(&fixed.schema).await {
        let place = format!("agent-config.json: agent {:?}: output.schema", profile.role.as_str());
        let kind = RunErrorKind::PolicyInvalid(format!("{place}: {why}"));
        return Err(RunError::new(kind).into());
    }
    Ok(Some(Arc::new(fixed)))
}
