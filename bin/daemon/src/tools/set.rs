//! The tool set of a role: offered to the model, and called.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use llm::request::{ToolCall, ToolList, ToolSpec};
use mc_client::steps::RefusedTool;
use mc_client::types::Capabilities;
use serde_json::{Value, json};
use wombat_core::agent_config::{
    AgentProfile, ENABLED_TOOLS, MemoryAccess, NamedTool, Permission, RuleList, RuleOrigin,
    RuleRef, ToolPermissions, enabling_list,
};
use wombat_core::endpoint::{EndpointPattern, declares_reserved};
use wombat_core::operations::{Operation, Operations};
use wombat_core::workspace::Snapshot;

use super::catalogue::{Catalogue, ExternalTool, Source};
use super::context::{TOOL_TIMEOUT, ToolContext};
use super::deferred::{Deferred, Plan};
use super::enabled::{self, EnabledTool};
use super::identity::{self, CallIdentity};
use super::nearest::unknown_tool;
use super::operations::BackendOperations;
use super::reply::ToolReply;
use super::specs::{Builtin, RequestedCall};
use super::{
    backend_http, backend_tools, memories, memory_specs, mission_control, read_result, rules,
};
use schemas::{Budget, Schema};

/// How many tools are told that a rule keeps from a role.
const MAX_REFUSED: usize = 200;

/// How many problems of a call's arguments are reported at once.
const MAX_PROBLEMS: usize = 8;

/// The tools that a role may call.
#[derive(Debug)]
pub struct ToolSet {
    /// Those that the model is given at once.
    specs: ToolList,
    deferred: Option<Box<Deferred>>,
    operations: Arc<BackendOperations>,
    rules: Arc<ToolPermissions>,
    memory: MemoryAccess,
    tools: HashMap<String, Tool>,
    /// Names by the ids that operations have in their document: a skill, or an earlier turn, may call them so.
    ids: HashMap<String, String>,
    /// The tools that there are and that a rule keeps from the role.
    refused: Vec<RefusedTool>,
}

#[derive(Debug)]
enum Tool {
    Builtin(Builtin, Arc<Schema>),
    Enabled(&'static EnabledTool, Arc<Schema>),
    External(Arc<ExternalTool>),
}

impl Tool {
    fn schema(&self) -> &Arc<Schema> {
        match self {
            Self::Builtin(_, schema) | Self::Enabled(_, schema) => schema,
            Self::External(tool) => &tool.schema,
        }
    }

    /// The timeout of a call.
    fn timeout(&self) -> Duration {
        match self {
            Self::Builtin(..) | Self::Enabled(..) => TOOL_TIMEOUT,
            Self::External(tool) => tool.timeout(),
        }
    }
}

impl ToolSet {
    /// Collects the tools that the backend has, the workspace declares and the role may use; its model is given
    /// `most` of them at once.
    pub(super) fn build(
        (snapshot, profile): (&Snapshot, &AgentProfile),
        capabilities: &Capabilities,
        catalogue: &Arc<Catalogue>,
        operations: &Arc<BackendOperations>,
        most: usize,
    ) -> Self {
        let plan = Plan::new(snapshot, profile, most);
        let could_allow = |builtin: Builtin| match builtin {
            Builtin::CallBackend => {
                let declared = snapshot.endpoints().iter().map(|declared| &declared.pattern);
                profile.tools.could_allow_any(builtin.name(), declared, &operations.known)
            }
            _ => {
                let endpoint = builtin.endpoint();
                let tool =
                    NamedTool { name: builtin.name(), id: None, endpoint: endpoint.as_ref() };
                profile.tools.could_allow(&tool)
            }
        };
        let mut refused = Vec::new();
        let mut refuse = |name: &str, rule: Option<RuleRef>| {
            if let Some(rule) = rule.filter(|_| refused.len() < MAX_REFUSED) {
                let rule = rules::rule(snapshot, &profile.role, &rule);
                refused.push(RefusedTool { tool: name.to_owned(), rule });
            }
        };
        let has_skills = snapshot.skills().iter().any(|skill| skill.enabled);
        let mut specs = Vec::new();
        let (mut own_deferred, mut deferred) = (Vec::new(), Vec::new());
        let mut give = |spec: ToolSpec, endpoint: Option<&EndpointPattern>| {
            let tool = NamedTool { name: &spec.name, id: None, endpoint };
            if plan.defers(&tool) { own_deferred.push(spec) } else { specs.push(spec) }
        };
        let mut tools = HashMap::new();
        for builtin in Builtin::ALL {
            if !builtin.available(capabilities, has_skills, snapshot.endpoints())
                || !builtin.is_for(&profile.memory)
            {
                continue;
            }
            if !could_allow(builtin) {
                let endpoint = builtin.endpoint();
                let tool =
                    NamedTool { name: builtin.name(), id: None, endpoint: endpoint.as_ref() };
                refuse(builtin.name(), profile.tools.withheld_by(&tool));
                continue;
            }
            let declared = snapshot.endpoints().iter().map(|declared| &declared.pattern);
            let endpoints: Vec<_> =
                declared.filter(|endpoint| !declares_reserved(endpoint)).collect();
            let mut spec = builtin.spec(&endpoints);
            if builtin == Builtin::Remember {
                memory_specs::limit(&mut spec, &profile.memory);
            }
            if let Some(schema) = own_schema(&spec) {
                tools.insert(spec.name.clone(), Tool::Builtin(builtin, schema));
                give(spec, builtin.endpoint().as_ref());
            }
        }
        for tool in enabled::ALL {
            if !tool.is_for(&profile.tools, capabilities) {
                if profile.tools.enables(tool.name) && tool.is_available(capabilities) {
                    let named = NamedTool::without_endpoint(tool.name);
                    refuse(tool.name, profile.tools.withheld_by(&named));
                }
                continue;
            }
            let spec = tool.spec();
            if let Some(schema) = own_schema(&spec) {
                tools.insert(spec.name.clone(), Tool::Enabled(tool, schema));
                give(spec, None);
            }
        }
        let reader = read_result::spec();
        let rule = profile.tools.withheld_by(&NamedTool::without_endpoint(&reader.name));
        // It calls nothing, so that no list has to allow it.
        if rule.is_none_or(|rule| rule.list != RuleList::Deny)
            && let Some(schema) = own_schema(reader)
        {
            tools.insert(reader.name.clone(), Tool::Builtin(Builtin::ReadResult, schema));
        }
        let mut external = Vec::new();
        for tool in &catalogue.tools {
            if !tool.is_for(snapshot, profile) {
                refuse(tool.name(), tool.withheld(snapshot, profile));
                continue;
            }
            tools.insert(tool.name().to_owned(), Tool::External(tool.clone()));
            external.push(tool);
        }
        deferred.extend(own_deferred.iter().map(|spec| spec.name.clone()));
        let direct = plan.direct(&external, specs.len());
        let later = external.iter().zip(&direct).filter(|(_, is_direct)| !**is_direct);
        deferred.extend(later.map(|(tool, _)| tool.name().to_owned()));
        let is_external = |name: &str| matches!(tools.get(name), Some(Tool::External(_)));
        let deferred = Deferred::new(catalogue, deferred, own_deferred, is_external);
        if let Some(deferred) = &deferred {
            let finder = deferred.finder();
            if let Some(schema) = own_schema(&finder) {
                tools.insert(finder.name.clone(), Tool::Builtin(Builtin::FindTools, schema));
                specs.push(finder);
            }
        }
        let first = external.into_iter().zip(direct).filter(|(_, is_direct)| *is_direct);
        specs.extend(first.map(|(tool, _)| tool.spec.clone()));
        let (operations, of_role) = (operations.clone(), profile.tools.clone());
        let memory = profile.memory.clone();
        let ids =
            operations.known.iter().filter_map(|known| Some((known.id.clone()?, &known.tool)));
        let is_operation =
            |tool: &str| matches!(tools.get(tool), Some(Tool::External(tool)) if tool.is_openapi());
        let ids = ids.filter(|(id, tool)| is_operation(tool) && !tools.contains_key(id));
        let ids = ids.map(|(id, tool)| (id, tool.clone())).collect();
        let specs = specs.into();
        Self { specs, deferred, operations, rules: of_role, memory, tools, ids, refused }
    }

    /// The names of the tools that the model is given at once.
    pub fn offered(&self) -> Vec<String> {
        self.specs.iter().map(|spec| spec.name.clone()).collect()
    }

    /// The tools that there are and that a rule keeps from the role.
    pub fn refused(&self) -> &[RefusedTool] {
        &self.refused
    }

    /// The tool of this name, or of this id.
    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name).or_else(|| self.tools.get(self.ids.get(name)?))
    }

    /// The name of the tool that has this name, or this id.
    pub(super) fn name_of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.tools.contains_key(name) { Some(name) } else { Some(self.ids.get(name)?) }
    }

    /// The tools that the model is not given at once.
    pub(super) fn deferred(&self) -> Option<&Deferred> {
        self.deferred.as_deref()
    }

    /// The tool of this name that is not built in.
    pub(super) fn external(&self, name: &str) -> Option<&ExternalTool> {
        match self.tools.get(name)? {
            Tool::External(tool) => Some(tool),
            Tool::Builtin(..) | Tool::Enabled(..) => None,
        }
    }

    /// What is known of the backend's operations, for the role's rules.
    pub fn known_operations(&self) -> &Operations {
        &self.operations.known
    }

    /// What is known of the backend's operations.
    pub(super) fn operations(&self) -> &BackendOperations {
        &self.operations
    }

    /// The tools that the model is given at once, as it sees them.
    pub fn specs(&self) -> &ToolList {
        &self.specs
    }

    /// The JSON Schema of a tool's arguments, as the model sees it.
    pub fn parameters(&self, name: &str) -> Option<&Value> {
        let name = self.name_of(name)?;
        if let Some(tool) = self.external(name) {
            return Some(&tool.spec.parameters);
        }
        let own = || self.deferred()?.own(name);
        let spec = self.specs.iter().find(|spec| spec.name == name).or_else(own)?;
        Some(&spec.parameters)
    }

    /// Whether the set has a tool of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tool(name).is_some()
    }

    /// Where a tool comes from, in a word.
    pub(super) fn source(&self, name: &str) -> &'static str {
        match self.tools.get(name) {
            Some(Tool::External(tool)) => match tool.source {
                Source::OpenApi(_) => "openapi",
                Source::Backend(_) => "backend",
                Source::Mcp(..) => "mcp",
                Source::Replayed(_) => "case",
            },
            Some(Tool::Builtin(..) | Tool::Enabled(..)) | None => "built-in",
        }
    }

    /// What a call does; the requested call of a `request_tool`.
    pub fn identify(&self, profile: &AgentProfile, call: &ToolCall) -> CallIdentity {
        let asked = RequestedCall::of(call);
        let identity = match self.tool(asked.tool) {
            Some(Tool::Builtin(builtin, _)) => CallIdentity::of_builtin(*builtin, asked.arguments),
            Some(Tool::Enabled(tool, _)) => CallIdentity::of_enabled(tool.name, asked.arguments),
            Some(Tool::External(tool)) => CallIdentity::of_external(tool, asked.arguments),
            None => CallIdentity::of_tool(asked.tool, asked.arguments),
        };
        identity.known_to(profile, asked.tool)
    }

    /// Whether a call only reads, so that making it once more changes nothing.
    pub fn only_reads(&self, profile: &AgentProfile, call: &ToolCall) -> bool {
        let is_get = |(method, _): &(String, String)| method == "GET";
        match self.tool(&call.name) {
            Some(Tool::Builtin(Builtin::CallBackend, _)) | Some(Tool::External(_)) => {
                self.identify(profile, call).endpoint.as_ref().is_some_and(is_get)
            }
            Some(Tool::Builtin(builtin, _)) => builtin
                .call(&call.arguments)
                .is_some_and(|call| call.is_ok_and(|(method, _)| method == "GET")),
            Some(Tool::Enabled(..)) | None => false,
        }
    }

    /// A hash of a tool's definition, where it is not the daemon's own: it can change while a call waits.
    pub fn definition(&self, name: &str) -> Option<String> {
        match self.tool(name)? {
            Tool::Builtin(..) | Tool::Enabled(..) => None,
            Tool::External(tool) => {
                Some(tool.definition.get_or_init(|| identity::definition(tool)).clone())
            }
        }
    }

    /// Makes a call under an idempotency key. Whatever is wrong becomes a reply that the model can act
    /// on.
    pub async fn call(&self, context: &ToolContext<'_>, call: &ToolCall, key: &str) -> ToolReply {
        let asked = RequestedCall::of(call);
        let limit = self.tool(asked.tool).map_or(TOOL_TIMEOUT, Tool::timeout);
        match tokio::time::timeout(limit, self.dispatch(context, call, key.to_owned())).await {
            Ok(reply) => reply,
            Err(_) => ToolReply::Unclear(json!({ "error": format!(
                "timeout: given up after {} seconds; the call may or may not have taken effect",
                limit.as_secs()
            ) })),
        }
    }

    async fn dispatch(&self, context: &ToolContext<'_>, call: &ToolCall, key: String) -> ToolReply {
        let (tool, arguments) = match self.checked(context, &call.name, &call.arguments).await {
            Ok(checked) => checked,
            Err(refused) => return refused,
        };
        let Tool::Builtin(Builtin::RequestTool, _) = tool else {
            return perform(context, &call.name, tool, arguments, key).await;
        };
        // The requested call is validated before a person is asked to approve it.
        let asked = RequestedCall::of(call);
        let context = &ToolContext { approval_required: true, ..*context };
        if asked.tool == call.name {
            return ToolReply::NotMade(format!("{:?} cannot be asked for", asked.tool));
        }
        match self.checked(context, asked.tool, asked.arguments).await {
            Ok((Tool::Builtin(Builtin::FindTools | Builtin::ReadResult, _), _)) => {
                ToolReply::NotMade(format!(
                    "{:?} needs nobody's approval; call it directly",
                    asked.tool
                ))
            }
            Ok((Tool::Enabled(tool, _), _)) if !tool.approves => ToolReply::NotMade(format!(
                "{:?} asks a person itself; call it directly",
                asked.tool
            )),
            Ok((tool, arguments)) => perform(context, asked.tool, tool, arguments, key).await,
            Err(refused) => refused,
        }
    }

    /// The rule by which a tool that there is, is not one of this role.
    pub(super) fn why_withheld(&self, name: &str) -> Option<String> {
        let is_named = |builtin: &Builtin| builtin.name() == name;
        if Builtin::ALL
            .iter()
            .find(|one| is_named(one))
            .is_some_and(|one| !one.is_for(&self.memory))
        {
            return Some("\"memory\" in agent-config.json gives it no scope for that".to_owned());
        }
        Some(self.rules.why(&self.withheld_by(name)?))
    }

    /// The same as a rule.
    pub fn withheld_by(&self, name: &str) -> Option<RuleRef> {
        if ENABLED_TOOLS.contains(&name) && !self.rules.enables(name) {
            let (origin, list) = (RuleOrigin::AgentConfig, enabling_list(name));
            return Some(RuleRef { origin, list, pattern: None });
        }
        let known = &self.operations.known;
        let is_it = |operation: &&Operation| {
            operation.tool == name || operation.id.as_deref() == Some(name)
        };
        match known.iter().find(is_it) {
            Some(operation) => self.rules.withheld_by(&NamedTool::from(operation)),
            None => {
                let tool = NamedTool::without_endpoint(name);
                known.others().any(|other| other == name).then(|| self.rules.withheld_by(&tool))?
            }
        }
    }

    /// The rules of the role, with those of the customer.
    pub fn rules(&self) -> &ToolPermissions {
        &self.rules
    }

    /// The endpoint of a tool, where it is always the same one.
    pub fn endpoint(&self, name: &str) -> Option<&EndpointPattern> {
        let mut known = self.operations.known.iter();
        let is_it = |operation: &&Operation| {
            operation.tool == name || operation.id.as_deref() == Some(name)
        };
        known.find(is_it).map(|operation| &operation.endpoint)
    }

    /// The tool of a call, with validated arguments; the error is a reply that the model can act on.
    async fn checked<'a>(
        &'a self,
        context: &ToolContext<'_>,
        name: &str,
        arguments: &'a Value,
    ) -> Result<(&'a Tool, &'a Value), ToolReply> {
        /// What models mean when they send null instead of arguments.
        static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(serde_json::Map::new()));
        let Some(tool) = self.tool(name) else {
            if let Some(rule) = self.withheld_by(name) {
                let why = format!("the tool {name:?} may not be called: {}", self.rules.why(&rule));
                let rule = rules::rule(context.snapshot, &context.profile.role, &rule);
                return Err(ToolReply::forbidden(why, rule));
            }
            let shown: Vec<_> = self.specs.iter().map(|spec| spec.name.as_str()).collect();
            let deferred = self.deferred().map_or(&[][..], Deferred::names);
            let deferred: Vec<_> = deferred.iter().map(String::as_str).collect();
            let why = unknown_tool(name, &shown, &deferred);
            return Err(ToolReply::forbidden(why, rules::undeclared()));
        };
        let arguments = if arguments.is_null() { &*EMPTY } else { arguments };
        let fits = check(tool.schema(), arguments).await;
        fits.map_err(|mut why| {
            why.extend(self.definition_told(name, context.loaded));
            ToolReply::forbidden(why, rules::schema())
        })?;
        Ok((tool, arguments))
    }
}

/// The compiled schema of a tool of our own.
fn own_schema(spec: &ToolSpec) -> Option<Arc<Schema>> {
    match Schema::compile(&spec.parameters, &mut Budget::default()) {
        Ok(compiled) => Some(Arc::new(compiled.schema)),
        Err(error) => {
            tracing::error!(
                tool = spec.name,
                error,
                "built-in tool skipped: its schema is invalid"
            );
            None
        }
    }
}

/// Makes a call with validated arguments. Tools with an endpoint check permissions themselves,
/// because these depend on the final request.
async fn perform(
    context: &ToolContext<'_>,
    name: &str,
    tool: &Tool,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let by_name = || context.permit(context.decide(name, None, arguments), name);
    let builtin = match tool {
        Tool::Builtin(Builtin::CallBackend, _) => {
            return backend_http::call(context, arguments, key).await;
        }
        // They call nothing: one tells only what the role may call, the other what its run was told.
        Tool::Builtin(Builtin::FindTools | Builtin::ReadResult, _) if context.dry => {
            return ToolReply::Judged { waits: false, rule: None };
        }
        Tool::Builtin(Builtin::FindTools, _) => {
            return context.tools.find_tools(arguments, context.loaded);
        }
        Tool::Builtin(Builtin::ReadResult, _) => return read_result::wanted(arguments),
        Tool::Builtin(builtin, _) => *builtin,
        Tool::Enabled(tool, _) => {
            let mut ruling = context.decide(name, None, arguments);
            let asks_itself = !tool.approves && ruling.permission == Permission::NeedsApproval;
            let permitted = match asks_itself {
                true if !context.dry => Ok(()),
                asks_itself => {
                    if asks_itself {
                        ruling.permission = Permission::Allowed;
                    }
                    context.permit(ruling, name)
                }
            };
            return match permitted {
                Ok(()) => (tool.call)(context, arguments, key).await,
                Err(reply) => reply,
            };
        }
        Tool::External(tool) => {
            // Some models write `7.0` for an integer, which many servers refuse.
            let arguments: &Value = &openapi_tools::whole_numbers(&tool.spec.parameters, arguments);
            return match &tool.source {
                Source::OpenApi(tool) => tool.call(context, arguments, key).await,
                Source::Backend(theirs) => {
                    backend_tools::call(context, name, theirs, arguments, &key).await
                }
                Source::Replayed(tool) => tool.call(context, arguments),
                Source::Mcp(server, tool) => match by_name() {
                    // Boxed: it is large, and other tools need none of it.
                    Ok(()) => {
                        Box::pin(server.call(tool, arguments, &key, context.traceparent)).await
                    }
                    Err(reply) => reply,
                },
            };
        }
    };
    let permitted = match builtin.call(arguments) {
        Some(Ok((method, path))) => {
            context.permit(context.decide(name, Some((method, &path)), arguments), name)
        }
        Some(Err(error)) => Err(ToolReply::NotMade(error.to_string())),
        None => by_name(),
    };
    if let Err(reply) = permitted {
        return reply;
    }
    match builtin {
        Builtin::CreateTask => mission_control::create_task(context, arguments, key).await,
        Builtin::ListTasks => mission_control::list_tasks(context, arguments).await,
        Builtin::UpdateTask => mission_control::update_task(context, arguments, key).await,
        Builtin::PostMessage => mission_control::post_message(context, arguments, key).await,
        Builtin::CreateDocument => mission_control::create_document(context, arguments, key).await,
        Builtin::ListNotifications => mission_control::list_notifications(context).await,
        Builtin::ReadSkill => read_skill(context, arguments),
        Builtin::Recall => memories::recall(context, arguments).await,
        Builtin::Remember => memories::remember(context, arguments, key).await,
        Builtin::Forget => memories::forget(context, arguments, &key).await,
        // They are handled above.
        Builtin::CallBackend | Builtin::RequestTool | Builtin::FindTools | Builtin::ReadResult => {
            ToolReply::NotMade(format!("{name:?} cannot be called like this"))
        }
    }
}

/// Validates arguments against the tool's schema; the error lists the problems by location.
async fn check(schema: &Arc<Schema>, arguments: &Value) -> Result<(), String> {
    let Err(problems) = schema.check(arguments, MAX_PROBLEMS).await else { return Ok(()) };
    if arguments.is_string() {
        return Err("the arguments are not a JSON object".to_owned());
    }
    Err(format!("the arguments do not fit the tool's schema: {}", problems.join("; ")))
}

fn read_skill(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let name = arguments["name"].as_str().unwrap_or_default();
    match context.snapshot.read_skill(name, arguments["file"].as_str()) {
        Ok(text) => ToolReply::Trusted(text.to_owned()),
        Err(error) => ToolReply::NotMade(error.to_string()),
    }
}
