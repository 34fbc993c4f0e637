//! The tools of one role in one workspace on one backend, ready to be offered and called.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonschema::Validator;
use llm::request::ToolSpec;
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::types::Capabilities;
use serde_json::{Value, json};
use wombat_core::agent_config::{AgentProfile, Permission};
use wombat_core::session::Role;
use wombat_core::workspace::Snapshot;

use super::result::{ToolOutcome, ToolReply};
use super::specs::Builtin;
use super::{backend_http, mission_control};
use crate::agent::run::PlannedCall;

/// How long one tool call may take (docs/RUNS.md).
const TOOL_TIMEOUT: Duration = Duration::from_secs(30);

/// How many problems of a call's arguments the model is told at once.
const MAX_PROBLEMS: usize = 8;

/// How many roles' tool sets are kept.
const MAX_CACHED: usize = 256;

/// The tools that a role may call.
#[derive(Debug)]
pub struct ToolSet {
    specs: Arc<[ToolSpec]>,
    tools: HashMap<String, Tool>,
}

#[derive(Debug)]
struct Tool {
    builtin: Builtin,
    schema: Validator,
}

/// What a call may use: all of it belongs to the run, none of it comes from the model.
pub struct ToolContext<'a> {
    /// The backend, as the run's user.
    pub client: &'a AgentClient,
    /// The workspace that the run began with.
    pub snapshot: &'a Snapshot,
    /// The role's permissions.
    pub profile: &'a AgentProfile,
    /// What the run's writes are keyed by.
    pub run_key: &'a RunKey,
    /// The run's task.
    pub task_id: &'a str,
    /// Characters of a result that the model gets to see.
    pub max_chars: usize,
    /// A person has approved this very call.
    pub approved: bool,
    /// Set when the call needs a person who has not approved it; then nothing was done.
    pub waits: AtomicBool,
}

impl ToolContext<'_> {
    /// A decision in words for the model.
    pub(super) fn permit(&self, decision: Permission, what: &str) -> Result<(), String> {
        match decision {
            Permission::Allowed => Ok(()),
            Permission::NeedsApproval if self.approved => Ok(()),
            Permission::NeedsApproval => {
                self.waits.store(true, Ordering::Relaxed);
                // Read by the model only where there is no way to ask a person.
                Err(format!(
                    "{what} needs a person's approval, and this backend offers no way to ask for \
                     one; it was not done"
                ))
            }
            Permission::Denied(why) => Err(why),
        }
    }
}

impl ToolSet {
    /// Collects the tools that the backend has, the workspace declares and the role may use.
    pub fn build(snapshot: &Snapshot, profile: &AgentProfile, capabilities: &Capabilities) -> Self {
        let has_skills = snapshot.skills().iter().any(|skill| skill.enabled);
        let mut specs = Vec::new();
        let mut tools = HashMap::new();
        for builtin in Builtin::ALL {
            if !builtin.available(capabilities, has_skills, snapshot.endpoints())
                || !profile.tools.could_allow(builtin.name())
            {
                continue;
            }
            let endpoints: Vec<_> =
                snapshot.endpoints().iter().map(|declared| &declared.pattern).collect();
            let spec = builtin.spec(&endpoints);
            match jsonschema::validator_for(&spec.parameters) {
                Ok(schema) => {
                    tools.insert(spec.name.clone(), Tool { builtin, schema });
                    specs.push(spec);
                }
                Err(error) => {
                    tracing::error!(tool = spec.name, %error, "tool left out: its schema is broken");
                }
            }
        }
        Self { specs: specs.into(), tools }
    }

    /// The tools as the model sees them.
    pub fn specs(&self) -> &Arc<[ToolSpec]> {
        &self.specs
    }

    /// Makes a call. Whatever is wrong becomes a result that the model can act on.
    pub async fn call(&self, context: &ToolContext<'_>, planned: &PlannedCall) -> ToolOutcome {
        let started = Instant::now();
        let reply = match tokio::time::timeout(TOOL_TIMEOUT, self.dispatch(context, planned)).await
        {
            Ok(reply) => reply,
            Err(_) => ToolReply::Unclear(json!({ "error": format!(
                "given up after {} seconds; it may or may not have taken effect",
                TOOL_TIMEOUT.as_secs()
            ) })),
        };
        ToolOutcome {
            ok: reply.ok(),
            unclear: reply.is_unclear(),
            waits: false,
            content: reply.into_content(&planned.call.name, context.max_chars),
            duration: started.elapsed(),
        }
    }

    async fn dispatch(&self, context: &ToolContext<'_>, planned: &PlannedCall) -> ToolReply {
        let call = &planned.call;
        let Some(tool) = self.tools.get(&call.name) else {
            let names: Vec<_> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            return ToolReply::Wrong(format!(
                "there is no tool {:?}; the tools are: {}",
                call.name,
                names.join(", ")
            ));
        };
        // Models write nothing, or null, for "no arguments".
        let empty = Value::Object(serde_json::Map::new());
        let arguments = if call.arguments.is_null() { &empty } else { &call.arguments };
        if let Err(problems) = check(&tool.schema, arguments) {
            return ToolReply::Wrong(problems);
        }
        if tool.builtin != Builtin::CallBackend
            && let Err(refusal) =
                context.permit(context.profile.tools.decide(&call.name, None), &call.name)
        {
            return ToolReply::Wrong(refusal);
        }
        let key = context.run_key.tool_key(&call.name, arguments, planned.nth);
        match tool.builtin {
            Builtin::CreateTask => mission_control::create_task(context, arguments, key).await,
            Builtin::ListTasks => mission_control::list_tasks(context, arguments).await,
            Builtin::UpdateTask => mission_control::update_task(context, arguments, key).await,
            Builtin::PostMessage => mission_control::post_message(context, arguments, key).await,
            Builtin::CreateDocument => {
                mission_control::create_document(context, arguments, key).await
            }
            Builtin::ListNotifications => mission_control::list_notifications(context).await,
            Builtin::ReadSkill => read_skill(context, arguments),
            Builtin::CallBackend => backend_http::call(context, arguments, key).await,
        }
    }
}

/// Checks arguments against the tool's schema; what is wrong is said for each place.
fn check(schema: &Validator, arguments: &Value) -> Result<(), String> {
    if schema.is_valid(arguments) {
        return Ok(());
    }
    if arguments.is_string() {
        return Err("the arguments are not a JSON object".to_owned());
    }
    let problems: Vec<String> = schema
        .iter_errors(arguments)
        .take(MAX_PROBLEMS)
        .map(|error| {
            let place = error.instance_path().to_string();
            if place.is_empty() { error.to_string() } else { format!("{place}: {error}") }
        })
        .collect();
    Err(format!("the arguments do not fit the tool's schema: {}", problems.join("; ")))
}

fn read_skill(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let name = arguments["name"].as_str().unwrap_or_default();
    match context.snapshot.read_skill(name, arguments["file"].as_str()) {
        Ok(text) => ToolReply::Trusted(text.to_owned()),
        Err(error) => ToolReply::Wrong(error.to_string()),
    }
}

/// The tool sets made so far, for the newest snapshot and capabilities.
#[derive(Debug, Default)]
pub struct ToolCache(Mutex<Option<Cached>>);

#[derive(Debug)]
struct Cached {
    snapshot: Arc<Snapshot>,
    capabilities: Arc<Capabilities>,
    sets: HashMap<Role, Arc<ToolSet>>,
}

impl ToolCache {
    /// The role's tools, made at their first use.
    pub fn get(
        &self,
        snapshot: &Arc<Snapshot>,
        profile: &AgentProfile,
        capabilities: &Arc<Capabilities>,
    ) -> Arc<ToolSet> {
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = cached.as_ref().is_some_and(|cached| {
            Arc::ptr_eq(&cached.snapshot, snapshot)
                && cached.capabilities == *capabilities
                && cached.sets.len() < MAX_CACHED
        });
        if !fits {
            *cached = None;
        }
        let cached = cached.get_or_insert_with(|| Cached {
            snapshot: snapshot.clone(),
            capabilities: capabilities.clone(),
            sets: HashMap::new(),
        });
        cached
            .sets
            .entry(profile.role.clone())
            .or_insert_with(|| Arc::new(ToolSet::build(snapshot, profile, capabilities)))
            .clone()
    }
}
