//! The tools of a case (docs/EVAL.md): those that are not built in come from its file. Rules and schemas are asked
//! as for any tool; nothing is called.

use std::sync::Arc;

use mc_client::tools::BackendTool;
use mc_client::types::Capabilities;
use serde_json::Value;
use wombat_core::agent_config::{AgentProfile, NamedTool, RuleRef};
use wombat_core::endpoint::{EndpointPattern, NormalPath};
use wombat_core::mcp_config::McpConfig;
use wombat_core::operations::Operation;
use wombat_core::workspace::Snapshot;

use super::backend_http::query_string;
use super::catalogue::{Catalogue, Source};
use super::context::ToolContext;
use super::enabled;
use super::openapi::declared;
use super::operations::BackendOperations;
use super::reply::ToolReply;
use super::rules::undeclared;
use super::set::ToolSet;
use super::specs::encoded;

/// The path below which a backend has tools of its own.
const BACKEND_TOOLS: &str = "POST /api/tools/";

/// The features on which built-in tools depend: a case has all of them.
const FEATURES: [&str; 5] =
    ["memories", "notifications", "run_journal", "tasks_update", "tool_requests"];

/// A tool that is not built in, as a case has it.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseTool {
    /// The name that models see.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
    /// `METHOD /path` of what it calls.
    pub endpoint: Option<String>,
}

/// A tool whose calls are answered by a case.
#[derive(Debug)]
pub(super) struct ReplayedTool {
    name: String,
    calls: Option<Calls>,
}

/// What a tool calls.
#[derive(Debug)]
struct Calls {
    method: String,
    template: String,
    endpoint: EndpointPattern,
}

/// The tools of all cases of a file, with their schemas compiled.
#[derive(Debug)]
pub struct CaseTools {
    catalogue: Arc<Catalogue>,
    operations: Arc<BackendOperations>,
    capabilities: Capabilities,
    /// What is wrong with some of them: a line each.
    pub problems: Vec<String>,
}

impl CaseTools {
    /// Compiles the tools.
    pub fn new(tools: &[CaseTool]) -> Self {
        let mut problems = Vec::new();
        let catalogue = Catalogue::of_case(tools, &mut problems);
        let theirs = catalogue.tools.iter().filter_map(|tool| match &tool.source {
            Source::Backend(name) => Some(BackendTool {
                name: name.clone(),
                description: tool.spec.description.clone(),
                parameters: tool.spec.parameters.clone(),
            }),
            _ => None,
        });
        let theirs: Vec<_> = theirs.collect();
        let servers = McpConfig::default();
        let operations = BackendOperations::collect((None, false), &theirs, &catalogue, &servers);
        let needs = enabled::ALL.iter().flat_map(|tool| tool.needs.iter().copied());
        let features = FEATURES.into_iter().chain(needs).map(|name| (name.to_owned(), true));
        let capabilities = Capabilities { features: features.collect(), ..Capabilities::default() };
        let (catalogue, operations) = (Arc::new(catalogue), Arc::new(operations));
        Self { catalogue, operations, capabilities, problems }
    }

    /// The tools of a role, whose model is given `most` of them at once.
    pub fn of_role(&self, snapshot: &Snapshot, profile: &AgentProfile, most: usize) -> ToolSet {
        let of = (snapshot, profile);
        ToolSet::build(of, &self.capabilities, &self.catalogue, &self.operations, most)
    }
}

impl CaseTool {
    /// Where it comes from: a tool of the backend by its path, else what it calls.
    pub(super) fn source(&self) -> Result<Source, String> {
        let Some(endpoint) = &self.endpoint else {
            let tool = ReplayedTool { name: self.name.clone(), calls: None };
            return Ok(Source::Replayed(Arc::new(tool)));
        };
        if let Some(name) =
            endpoint.strip_prefix(BACKEND_TOOLS).filter(|name| !name.contains(['/', '{']))
        {
            return Ok(Source::Backend(name.to_owned()));
        }
        let (method, template) = endpoint
            .split_once(' ')
            .ok_or_else(|| format!("its endpoint {endpoint:?} is not METHOD /path"))?;
        let pattern = EndpointPattern::of_template(method, template)
            .map_err(|error| format!("its endpoint {endpoint:?}: {error}"))?;
        let (method, template) = (method.to_owned(), template.to_owned());
        let calls = Some(Calls { method, template, endpoint: pattern });
        Ok(Source::Replayed(Arc::new(ReplayedTool { name: self.name.clone(), calls })))
    }
}

impl ReplayedTool {
    pub(super) fn named(&self) -> NamedTool<'_> {
        let endpoint = self.calls.as_ref().map(|calls| &calls.endpoint);
        NamedTool { name: &self.name, id: None, endpoint }
    }

    /// Whether it calls an endpoint.
    pub(super) fn is_operation(&self) -> bool {
        self.calls.is_some()
    }

    /// What it does, for the role's rules.
    pub(super) fn operation(&self) -> Option<Operation> {
        let calls = self.calls.as_ref()?;
        Some(Operation {
            tool: self.name.clone(),
            id: None,
            endpoint: calls.endpoint.clone(),
            is_whole: true,
            is_route: true,
        })
    }

    /// The method and the path of a call.
    pub(super) fn called(&self, arguments: &Value) -> Option<(String, String)> {
        let calls = self.calls.as_ref()?;
        Some((calls.method.clone(), calls.path(arguments).ok()?.as_str().to_owned()))
    }

    /// Whether there is such a tool for roles: where it calls an endpoint, that is declared or named.
    fn is_one(&self, snapshot: &Snapshot, profile: &AgentProfile) -> bool {
        self.calls.as_ref().is_none_or(|calls| {
            declared(snapshot, &calls.endpoint) || profile.tools.names(&self.named())
        })
    }

    /// Whether a role may have it.
    pub(super) fn is_for(&self, snapshot: &Snapshot, profile: &AgentProfile) -> bool {
        self.is_one(snapshot, profile) && profile.tools.could_allow(&self.named())
    }

    /// The rule that keeps it from a role that would have it.
    pub(super) fn withheld(&self, snapshot: &Snapshot, profile: &AgentProfile) -> Option<RuleRef> {
        profile.tools.withheld_by(&self.named()).filter(|_| self.is_one(snapshot, profile))
    }

    /// What the rules say on a call, which is never made.
    pub(super) fn call(&self, context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
        match self.judge(context, arguments) {
            Ok(()) => ToolReply::NotMade("a tool of a case cannot be called".to_owned()),
            Err(reply) => reply,
        }
    }

    fn judge(&self, context: &ToolContext<'_>, arguments: &Value) -> Result<(), ToolReply> {
        let Some(calls) = &self.calls else {
            return context.permit(context.decide(&self.name, None, arguments), &self.name);
        };
        let path = calls.path(arguments)?;
        let method = calls.method.as_str();
        let what = format!("{method} {}", path.as_str());
        context.refuse_reserved(&what, &path)?;
        let by_skill =
            || context.snapshot.endpoints().iter().any(|d| d.pattern.matches(method, &path));
        if !calls.endpoint.matches(method, &path)
            || !(context.profile.tools.names_call(&self.named(), method, &path) || by_skill())
        {
            return Err(ToolReply::forbidden(format!("{what} is not declared"), undeclared()));
        }
        // A list or an object there would be no query.
        if method == "GET" {
            query_string("", &arguments["query"])?;
        }
        let decision = context.decide(&self.name, Some((method, &path)), arguments);
        context.permit(decision, &what)
    }
}

impl Calls {
    /// The path with its parameters filled in.
    fn path(&self, arguments: &Value) -> Result<NormalPath, String> {
        let mut path = String::new();
        let mut rest = self.template.as_str();
        while let Some((before, name, after)) = parameter(rest) {
            path += before;
            path += &encoded(&text_of(name, arguments)?);
            rest = after;
        }
        path += rest;
        NormalPath::parse(&path).map_err(|error| error.to_string())
    }
}

/// The next parameter of a template, with what is before and after it.
fn parameter(template: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = template.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// The argument of a parameter: by its name, or by that with its place where another one has its name.
fn text_of(name: &str, arguments: &Value) -> Result<String, String> {
    let given = [format!("{name}_path"), name.to_owned()];
    match given.iter().find_map(|name| arguments.get(name)) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        Some(_) | None => Err(format!("{name:?}, a part of the path, must be a text or a number")),
    }
}
