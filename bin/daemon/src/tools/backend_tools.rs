//! The backend's own tools (feature `tools`): `GET /api/tools`, `POST /api/tools/{name}`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::tools::BackendTools;
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, NamedTool, RuleRef};
use wombat_core::endpoint::{EndpointPattern, NormalPath};

use super::backend_http::{most_of_answer, reply};
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
        "backend tools (GET /api/tools)",
        LIST_TTL,
        Arc::new(move || {
            let (agent, last) = (agent.clone(), last.clone());
            Box::pin(async move {
                let agent = agent()?;
                fetch(if unannounced { agent.without_retries() } else { agent }, unannounced, &last)
                    .await
            })
        }),
    )
}

/// Fetches the list. `last` is the last good one.
async fn fetch(
    agent: AgentClient,
    unannounced: bool,
    last: &Mutex<Option<Arc<BackendTools>>>,
) -> Result<Arc<BackendTools>, String> {
    let known = || last.lock().unwrap_or_else(PoisonError::into_inner);
    let had_any = known().as_ref().is_some_and(|known| !known.tools.is_empty());
    let tools = match agent.backend_tools().await {
        Err(error) if unannounced => offers_none(agent, error, had_any).await?,
        listed => listed.map_err(|error| error.to_string())?,
    };
    let mut last = known();
    // An unchanged list stays the same object, so that nothing is rebuilt from it.
    match &*last {
        Some(known) if **known == tools => Ok(known.clone()),
        Some(_) | None => Ok(last.insert(Arc::new(tools)).clone()),
    }
}

/// An application beside its control plane need not have `GET /api/tools`. A refusal counts as no
/// tools, too, but is told: many applications refuse every path that they do not know. Where a list was
/// there before (`had_any`), only a plain "there is none" ends it.
async fn offers_none(
    agent: AgentClient,
    error: McError,
    had_any: bool,
) -> Result<BackendTools, String> {
    let is_page = error.is_in_between() && !error.is_retryable();
    let refused = |told: String| BackendTools {
        tools: Vec::new(),
        problems: vec![format!("the application's own tools are not used: {told}")],
    };
    match error.status() {
        _ if had_any && is_page => Err(error.to_string()),
        Some(404 | 405 | 501) => Ok(BackendTools::default()),
        _ if is_page => Ok(BackendTools::default()),
        _ if had_any => Err(error.to_string()),
        // It may have looked up the user of a token that is no user's.
        Some(500) => match agent.without_token().backend_tools().await {
            Err(without) if matches!(without.status(), Some(404 | 405 | 501)) => {
                Ok(BackendTools::default())
            }
            Err(without) if is_refusal(&without) => {
                Ok(refused(format!("{error}; without a token, {without}")))
            }
            Ok(_) | Err(_) => Err(error.to_string()),
        },
        _ if error.is_retryable() => Err(error.to_string()),
        _ => Ok(refused(error.to_string())),
    }
}

/// Whether something answers without a list of tools, and is not broken.
fn is_refusal(error: &McError) -> bool {
    !error.is_retryable() && !matches!(error, McError::Token(_))
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

/// The rule that keeps a tool from a role.
pub(super) fn withheld(profile: &AgentProfile, tool: &str, name: &str) -> Option<RuleRef> {
    let endpoint = endpoint(name)?;
    profile.tools.withheld_by(&NamedTool { name: tool, id: Some(name), endpoint: Some(&endpoint) })
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
    let decision = context.decide(tool, Some(("POST", &path)), arguments);
    if let Err(reply) = context.permit(decision, tool) {
        return reply;
    }
    let most = most_of_answer(context);
    let called = context.client.call_backend_tool(name, arguments, Some(key), most).await;
    match called {
        Ok(response) => reply(response),
        Err(error) => ToolReply::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use mc_client::client::{McClient, RetryPolicy};
    use mc_client::token::{AgentAuth, Algorithm, Key, TokenMinter};
    use secrecy::SecretString;
    use serde_json::{Value, json};
    use wiremock::matchers::{any, header_exists};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    fn agent(server: &MockServer) -> AgentClient {
        let key = Key::Secret(SecretString::from("0123456789abcdef0123456789abcdef"));
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(60)).unwrap();
        let auth = AgentAuth::new(Arc::new(minter), "u1", "scout").unwrap();
        let client = McClient::new(&server.uri(), reqwest::Client::new(), RetryPolicy::default());
        client.agent(Arc::new(auth)).without_retries()
    }

    async fn answers(server: &MockServer, with_token: ResponseTemplate, without: ResponseTemplate) {
        server.reset().await;
        let known = Mock::given(header_exists("x-agent-token")).respond_with(with_token);
        known.with_priority(1).mount(server).await;
        Mock::given(any()).respond_with(without).with_priority(2).mount(server).await;
    }

    fn json_of(status: u16, body: Value) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(body)
    }

    #[tokio::test]
    async fn a_list_that_was_there_is_given_up_for_a_plain_no_alone() {
        let server = MockServer::start().await;
        let refusal = || json_of(401, json!({ "error": "no session" }));
        let page = || ResponseTemplate::new(200).set_body_raw("<html>Log in</html>", "text/html");
        let broken = || json_of(500, json!({ "error": "no such user" }));
        // The problems of an application that never had a list; `None`: whether it has one is not known.
        let cases = [
            (broken(), refusal(), Some(1)),
            (broken(), broken(), None),
            (broken(), json_of(404, json!({})), Some(0)),
            (broken(), json_of(200, json!({ "tools": [] })), None),
            (refusal(), refusal(), Some(1)),
            (page(), page(), Some(0)),
            (json_of(200, json!([])), refusal(), Some(1)),
        ];
        for (number, (with_token, without, problems)) in cases.into_iter().enumerate() {
            answers(&server, with_token.clone(), without.clone()).await;
            let fresh = fetch(agent(&server), true, &Mutex::default()).await;
            let told = fresh.as_ref().ok().map(|list| list.problems.len());
            assert_eq!(told, problems, "{number}: {fresh:?}");

            let last = Mutex::default();
            let good = json_of(200, json!({ "tools": [{ "name": "price", "description": "x" }] }));
            answers(&server, good.clone(), good).await;
            assert_eq!(fetch(agent(&server), true, &last).await.unwrap().tools.len(), 1);
            answers(&server, with_token, without).await;
            let later = fetch(agent(&server), true, &last).await;
            assert!(later.is_err(), "{number}: {later:?}");
            answers(&server, json_of(404, json!({})), refusal()).await;
            assert!(fetch(agent(&server), true, &last).await.unwrap().tools.is_empty(), "{number}");
        }
    }
}
