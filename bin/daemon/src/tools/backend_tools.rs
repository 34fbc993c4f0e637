//! The backend's own tools (feature `tools`): `GET /api/tools`, `POST /api/tools/{name}`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::tools::BackendTools;
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, NamedTool};
use wombat_core::endpoint::{EndpointPattern, NormalPath};

use super::backend_http::{MAX_ANSWER_BYTES, reply};
use super::context::ToolContext;
use super::refreshing_cache::RefreshingCache;
use super::reply::ToolReply;

/// How long the list is cached.
const LIST_TTL: Duration = Duration::from_secs(60);

/// A cache of the list; it is not fetched before the first use. `unannounced`: nobody has said that
/// there is one.
pub(super) fn cached(
    agent: impl Fn() -> Result<AgentClient, String> + Send + Sync + 'static,
    unannounced: bool,
) -> RefreshingCache<BackendTools> {
    let agent = Arc::new(agent);
    let last: Arc<Mutex<Option<Arc<BackendTools>>>> = Arc::default();
    RefreshingCache::new(
        "backend tools (GET /api/tools) could not be listed",
        LIST_TTL,
        Arc::new(move || {
            let (agent, last) = (agent.clone(), last.clone());
            Box::pin(async move {
                let agent = agent()?;
                let first = if unannounced { agent.clone().without_retries() } else { agent };
                let tools = match first.backend_tools().await {
                    Err(error) if unannounced => offers_none(&first, error).await?,
                    listed => listed.map_err(|error| error.to_string())?,
                };
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                // An unchanged list stays the same object, so that nothing is rebuilt from it.
                match &*last {
                    Some(known) if **known == tools => Ok(known.clone()),
                    Some(_) | None => Ok(last.insert(Arc::new(tools)).clone()),
                }
            })
        }),
    )
}

/// An application beside its control plane need not have `GET /api/tools`. A refusal counts as no
/// tools, too, but is told: many applications refuse every path that they do not know.
async fn offers_none(agent: &AgentClient, error: McError) -> Result<BackendTools, String> {
    let is_page = error.is_in_between() && !error.is_retryable();
    match error.status() {
        Some(404 | 405 | 501) => Ok(BackendTools::default()),
        _ if is_page => Ok(BackendTools::default()),
        // It may have looked up the user of a token that is no user's.
        Some(500) if refuses(agent.clone().without_token().backend_tools().await) => {
            Ok(BackendTools::default())
        }
        _ if error.is_retryable() => Err(error.to_string()),
        _ => Ok(BackendTools {
            tools: Vec::new(),
            problems: vec![format!("the application's own tools are not used: {error}")],
        }),
    }
}

/// Whether something answers without a list of tools, and is not broken.
fn refuses(listed: Result<BackendTools, McError>) -> bool {
    listed.is_err_and(|error| !error.is_retryable() && !matches!(error, McError::Token(_)))
}

/// The path of a tool.
fn path(name: &str) -> String {
    format!("/api/tools/{name}")
}

/// A tool's endpoint, for permissions by endpoint. `None` when the name has characters other than
/// letters, digits, '.', '_', '-' and '~'.
pub(super) fn endpoint(name: &str) -> Option<EndpointPattern> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '~');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    EndpointPattern::parse(&format!("POST {}", path(name))).ok()
}

/// The endpoint of any tool: its last segment is the name.
pub(super) fn any_endpoint() -> Option<EndpointPattern> {
    EndpointPattern::of_template("POST", &path("{name}")).ok()
}

/// Whether a role may have a tool. `tool` is its name for models, `name` the backend's.
pub(super) fn is_for(profile: &AgentProfile, tool: &str, name: &str) -> bool {
    endpoint(name).is_some_and(|endpoint| {
        let tool = NamedTool { name: tool, id: Some(name), endpoint: Some(&endpoint) };
        profile.tools.could_allow(&tool)
    })
}

/// Calls a tool.
pub(super) async fn call(
    context: &ToolContext<'_>,
    tool: &str,
    name: &str,
    arguments: &Value,
    key: &str,
) -> ToolReply {
    let path = match NormalPath::parse(&path(name)) {
        Ok(path) => path,
        Err(error) => return ToolReply::NotMade(error.to_string()),
    };
    let decision = context.decide(tool, Some(("POST", &path)));
    if let Err(reply) = context.permit(decision, tool) {
        return reply;
    }
    let called =
        context.client.call_backend_tool(name, arguments, Some(key), MAX_ANSWER_BYTES).await;
    match called {
        Ok(response) => reply(response),
        Err(error) => ToolReply::failed(&error),
    }
}
