//! Whether a role may make a call, and by which rule. The call goes the way of a run's own, up to where it
//! would be made: nothing is called.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_api::{CallDecision, Can, CanAnswer};
use llm::request::ToolCall;
use mc_client::client::AgentClient;
use mc_client::steps::Rule;
use serde_json::{Map, Value, json};
use service::trace::TraceId;
use wombat_core::agent_config::{AgentProfile, NamedTool, Permission, RuleRef};
use wombat_core::endpoint::{METHODS, NormalPath};
use wombat_core::session::{Role, SessionKey, UserId};
use wombat_core::workspace::Snapshot;
use zones::Zone;

use super::customers::{self, Asked};
use super::journal;
use crate::run::error::{RunError, RunErrorKind};
use crate::state::App;
use crate::tools::{self, ToolContext, ToolReply, ToolSet};
use crate::workspaces::Chosen;

/// The tool that calls declared endpoints.
const CALL_BACKEND: &str = "call_backend";

/// Why a question cannot be answered.
#[derive(Debug)]
pub(crate) enum CanError {
    /// The question itself is wrong, by its fields.
    Fields(BTreeMap<String, String>),
    /// No run of the role could start.
    Run(RunError),
}

impl From<RunError> for CanError {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// A call that is asked about.
enum Asks {
    Tool(String),
    Endpoint(String, NormalPath),
}

impl Asks {
    /// Reads a tool's name, or `METHOD /path`.
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((method, path)) = text.split_once(char::is_whitespace) else {
            return match text.is_empty() || text.contains(char::is_control) {
                true => Err("must be a tool, or METHOD /path".to_owned()),
                false => Ok(Self::Tool(text.to_owned())),
            };
        };
        let method = method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(format!("{method:?} is none of {}", METHODS.join(", ")));
        }
        let path = path.trim();
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let path = NormalPath::parse(path).map_err(|error| format!("path {path:?}: {error}"))?;
        Ok(Self::Endpoint(method, path))
    }
}

/// Answers the question as a run of this user and role would find it now.
///
/// # Errors
/// When the question is wrong, or it cannot be known: no run could start then.
pub(crate) async fn can(app: &App, trace: &TraceId, asked: &Can) -> Result<CanAnswer, CanError> {
    let mut problems = BTreeMap::new();
    let mut wrong = |field: &str, why: String| drop(problems.insert(field.to_owned(), why));
    let user = UserId::parse(&asked.user_id).map_err(|error| wrong("user_id", error.to_string()));
    let role = Role::parse(&asked.role).map_err(|error| wrong("role", error.to_string()));
    let call = Asks::read(&asked.call).map_err(|why| wrong("call", why));
    if let Some(name) = asked.workspace.as_deref().filter(|name| app.workspaces.of(name).is_none())
    {
        let known: Vec<_> = app.workspaces.names().collect();
        wrong("workspace", format!("{name:?} is none of {}", known.join(", ")));
    }
    let (Ok(user), Ok(role), Ok(call), true) = (user, role, call, problems.is_empty()) else {
        return Err(CanError::Fields(problems));
    };
    let session = SessionKey::new(user, role);
    let role = session.role().as_str();
    app.workspaces.admit(role).map_err(RunError::from)?;
    let kept = asked.workspace.as_deref();
    let asks = Asked { session: &session, key: None, detached: false, kept };
    let customer = customers::customer(app, &trace.without_run(), asks).await?;
    let backend = |error| RunError::backend(&error);
    let traceparent = trace.traceparent();
    let capabilities = app.backend.capabilities(&traceparent).await.map_err(backend)?;
    if customer.is_unread {
        return Err(RunError::new(RunErrorKind::BackendUnavailable).into());
    }
    let Chosen { snapshot, profile, tools } =
        app.workspaces.for_run(&customer, role).map_err(RunError::from)?;
    let tools = tools.of_role(&snapshot, &profile, &capabilities).await;
    let client = app.backend.agent(session.user().as_str(), role).map_err(backend)?;
    let client = client.with_trace(&traceparent);
    let zone = customer.timezone.unwrap_or(app.settings.timezone);
    let judge = Judge { client, snapshot, profile, tools, zone };
    let arguments = asked.arguments.clone();
    Ok(match call {
        Asks::Tool(name) => judge.tool(name, arguments).await,
        Asks::Endpoint(method, path) => judge.endpoint(&method, &path, arguments).await,
    })
}

/// What a run of the role would work with.
struct Judge {
    client: AgentClient,
    snapshot: Arc<Snapshot>,
    profile: AgentProfile,
    tools: Arc<ToolSet>,
    zone: Zone,
}

impl Judge {
    /// A call of a tool; without arguments, what the rules say on the tool whatever these are.
    async fn tool(&self, name: String, arguments: Option<Map<String, Value>>) -> CanAnswer {
        let endpoint = self.tools.endpoint(&name).map(ToString::to_string);
        let answer = match arguments {
            Some(arguments) => self.dry(&name, arguments.into()).await,
            None => self.whatever(&name),
        };
        let made_to = |answer: &CanAnswer| answer.endpoint.clone().or(endpoint);
        CanAnswer { endpoint: made_to(&answer), tool: name, ..answer }
    }

    /// A call of an endpoint, by the tool that may make it.
    async fn endpoint(
        &self,
        method: &str,
        path: &NormalPath,
        arguments: Option<Map<String, Value>>,
    ) -> CanAnswer {
        let endpoint = Some(format!("{method} {}", path.as_str()));
        let is_declared = tools::declaring(&self.snapshot, method, path);
        // A declared endpoint is called by `call_backend`, where the role has it.
        let is_typed = is_declared.is_none() || !self.tools.has(CALL_BACKEND);
        let answer = match self.typed(method, path).filter(|_| is_typed) {
            Some(tool) => self.by_rules(&tool, method, path, arguments.as_ref()),
            None => {
                let mut call = json!({ "method": method, "path": path.as_str() });
                let named = |name: &str| arguments.as_ref().is_some_and(|a| a.contains_key(name));
                if let (Value::Object(call), true) = (&mut call, named("body") || named("query")) {
                    call.extend(arguments.unwrap_or_default());
                } else if let Some(arguments) = arguments {
                    let place = if method == "GET" { "query" } else { "body" };
                    call[place] = arguments.into();
                }
                let answer = self.dry(CALL_BACKEND, call).await;
                CanAnswer { tool: CALL_BACKEND.to_owned(), ..answer }
            }
        };
        CanAnswer { endpoint, ..answer }
    }

    /// The role's tool of the document that has this endpoint.
    fn typed(&self, method: &str, path: &NormalPath) -> Option<String> {
        let mut known = self.tools.known_operations().iter();
        let found = known.find(|operation| {
            self.tools.has(&operation.tool) && operation.endpoint.matches(method, path)
        });
        found.map(|operation| operation.tool.clone())
    }

    fn by_rules(
        &self,
        tool: &str,
        method: &str,
        path: &NormalPath,
        arguments: Option<&Map<String, Value>>,
    ) -> CanAnswer {
        let ruling = self.profile.tools.ruling(wombat_core::agent_config::ToolCall {
            tool,
            endpoint: Some((method, path)),
            arguments,
            operations: self.tools.known_operations(),
        });
        let rule = ruling.rule.as_ref();
        let (decision, errors) = match ruling.permission {
            Permission::Allowed => (CallDecision::Allowed, Vec::new()),
            Permission::NeedsApproval => (CallDecision::Approval, Vec::new()),
            Permission::Denied(why) => (CallDecision::Denied, vec![why]),
        };
        self.answer(tool, decision, self.rule_or_none(rule), errors)
    }

    /// What the rules say on a tool whatever its arguments are.
    fn whatever(&self, name: &str) -> CanAnswer {
        if !self.tools.has(name) {
            let (rule, why) = match self.tools.withheld_by(name) {
                Some(rule) => {
                    let why = self.profile.tools.why(&rule);
                    let why = format!("the tool {name:?} may not be called: {why}");
                    (self.rule_or_none(Some(&rule)), why)
                }
                None => (tools::undeclared(), format!("there is no tool {name:?} for this role")),
            };
            return self.answer(name, CallDecision::Denied, rule, vec![why]);
        }
        let endpoint = self.tools.endpoint(name);
        let mut known = self.tools.known_operations().iter();
        let operation = known.find(|operation| operation.tool == name);
        let tool = operation.map_or(NamedTool { name, id: None, endpoint }, NamedTool::from);
        let waiting = match name {
            CALL_BACKEND => {
                let declared = self.snapshot.endpoints().iter();
                let mut all = declared.map(|declared| NamedTool {
                    name,
                    id: None,
                    endpoint: Some(&declared.pattern),
                });
                all.find_map(|tool| self.profile.tools.approval_by(&tool))
            }
            _ => self.profile.tools.approval_by(&tool),
        };
        if let Some(rule) = waiting {
            let rule = self.rule_or_none(Some(&rule));
            return self.answer(name, CallDecision::Approval, rule, Vec::new());
        }
        let rule = self.rule_or_none(self.profile.tools.allowed_by(&tool).as_ref());
        self.answer(name, CallDecision::Allowed, rule, Vec::new())
    }

    /// The call as a run would make it, up to where it would be made.
    async fn dry(&self, name: &str, arguments: Value) -> CanAnswer {
        let context = ToolContext {
            client: &self.client,
            snapshot: &self.snapshot,
            profile: &self.profile,
            tools: &self.tools,
            run_key: "",
            user: "",
            tenant: None,
            task_id: "",
            zone: self.zone,
            traceparent: None,
            approved: false,
            approval_required: false,
            in_doubt: false,
            dry: true,
            mentions: None,
            loaded: &[],
        };
        let called = endpoint_of(&arguments);
        let id = String::new();
        let call = ToolCall { id, name: name.to_owned(), arguments, provider_state: None };
        let reply = self.tools.call(&context, &call, "").await;
        let answer = match reply {
            ToolReply::Judged { waits, rule } => {
                let decision = match waits {
                    true => CallDecision::Approval,
                    false => CallDecision::Allowed,
                };
                let declared = || {
                    let (method, path) = called.as_ref()?;
                    tools::declaring(&self.snapshot, method, path)
                };
                let rule = rule.map(|rule| *rule).or_else(declared);
                let rule = rule.unwrap_or_else(|| self.unrestricted(name));
                self.answer(name, decision, rule, Vec::new())
            }
            ToolReply::Forbidden { why, rule } => {
                self.answer(name, CallDecision::Denied, *rule, vec![why])
            }
            other => {
                let why = other.failure().unwrap_or_default();
                self.answer(name, CallDecision::Denied, tools::misfit(), vec![why])
            }
        };
        let endpoint = called.map(|(method, path)| format!("{method} {}", path.as_str()));
        CanAnswer { endpoint, ..answer }
    }

    /// A rule as it is told; where none decides, what declares the tool.
    fn rule_or_none(&self, rule: Option<&RuleRef>) -> Rule {
        match rule {
            Some(rule) => tools::rule(&self.snapshot, &self.profile.role, rule),
            None => tools::unrestricted(),
        }
    }

    /// What lets a call pass that no list has to name: the skill that declares its endpoint.
    fn unrestricted(&self, name: &str) -> Rule {
        let Some(endpoint) = self.tools.endpoint(name) else { return tools::unrestricted() };
        let mut declared = self.snapshot.endpoints().iter();
        let declared = declared.find(|declared| declared.pattern.covers(endpoint));
        let rule = declared.and_then(|declared| tools::declared_by(&self.snapshot, declared));
        rule.unwrap_or_else(tools::unrestricted)
    }

    fn answer(
        &self,
        tool: &str,
        decision: CallDecision,
        rule: Rule,
        errors: Vec<String>,
    ) -> CanAnswer {
        let is_plain = decision == CallDecision::Allowed && rule == tools::unrestricted();
        let rule = if is_plain { self.unrestricted(tool) } else { rule };
        let (tool, rule) = (tool.to_owned(), journal::rule(&rule));
        let deferred = decision != CallDecision::Denied && self.tools.is_deferred(&tool);
        CanAnswer { decision, tool, endpoint: None, rule, errors, deferred }
    }
}

/// The method and path among the arguments of `call_backend`.
fn endpoint_of(arguments: &Value) -> Option<(String, NormalPath)> {
    let (method, path) = mc_client::steps::endpoint_of(arguments)?;
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some((method.to_owned(), NormalPath::parse(path).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_tool_or_a_method_and_a_path() {
        assert!(
            matches!(Asks::read(" create_task "), Ok(Asks::Tool(name)) if name == "create_task")
        );
        let Ok(Asks::Endpoint(method, path)) = Asks::read("post /api/refunds?x=1") else {
            panic!("an endpoint")
        };
        assert_eq!((method.as_str(), path.as_str()), ("POST", "/api/refunds"));
        for wrong in ["", "  ", "FETCH /a", "GET a"] {
            assert!(Asks::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
