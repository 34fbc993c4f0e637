//! The built-in tools as models see them: names, descriptions, JSON Schemas.

use llm::request::{TOOL_ARGUMENTS, TOOL_NAME, ToolCall, ToolSpec};
use mc_client::types::{Capabilities, TaskStatus};
use serde_json::{Value, json};
use wombat_core::agent_config::{ENABLED_TOOLS, MemoryAccess};
use wombat_core::endpoint::{EndpointPattern, NormalPath, PathError, declares_reserved};
use wombat_core::workspace::SkillEndpoint;

use super::memory_specs;

/// The longest description that all providers take, characters.
const MAX_DESCRIPTION: usize = 1_024;

/// What `call_backend` is, where its endpoints are named elsewhere.
const CALL_BACKEND: &str = "Call the backend's own API as the user. The skills say when and how.";

/// The path of the contract's endpoints.
pub(super) const MISSION_CONTROL: &str = "/api/mission-control";

/// The parameter of a path that a tool has.
const TASK_ID: &str = "{task_id}";

/// The same, of what a tool names by its `id`.
const ID: &str = "{id}";

/// The tool that requests a person's approval.
const REQUEST_TOOL: &str = "request_tool";

/// The tool that finds other tools.
pub const FIND_TOOLS: &str = "find_tools";

/// The tool that reads on in a result.
pub const READ_RESULT: &str = "read_result";

/// The longest question for tools, characters.
const MAX_QUESTION: usize = 500;

/// The call that a person has to approve.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestedCall<'a> {
    /// The tool.
    pub tool: &'a str,
    /// Its arguments.
    pub arguments: &'a Value,
    /// The model's reason, when it gave one.
    pub reason: Option<&'a str>,
}

impl<'a> RequestedCall<'a> {
    /// The call itself, or the call inside a `request_tool`.
    pub fn of(call: &'a ToolCall) -> Self {
        let arguments = &call.arguments;
        match (arguments["tool"].as_str(), arguments.get("arguments")) {
            (Some(tool), Some(inner)) if call.name == REQUEST_TOOL => {
                Self { tool, arguments: inner, reason: arguments["reason"].as_str() }
            }
            _ => Self { tool: &call.name, arguments, reason: None },
        }
    }

    /// Gives the call itself, or the call inside a `request_tool`, other arguments.
    pub fn replace_arguments(call: &mut ToolCall, arguments: Value) {
        let is_inner = !std::ptr::eq(RequestedCall::of(call).arguments, &call.arguments);
        if is_inner {
            call.arguments["arguments"] = arguments;
        } else {
            call.arguments = arguments;
        }
    }
}

/// The built-in tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    CreateTask,
    ListTasks,
    UpdateTask,
    PostMessage,
    CreateDocument,
    ListNotifications,
    ReadSkill,
    CallBackend,
    RequestTool,
    Recall,
    Remember,
    Forget,
    /// Where tools are deferred.
    FindTools,
    /// Where a result was too long.
    ReadResult,
}

/// The names of the built-in tools, also of those that a role has to enable.
pub fn builtin_names() -> [&'static str; 18] {
    let mut names = [""; 18];
    let all = Builtin::ALL.into_iter().map(Builtin::name).chain(ENABLED_TOOLS);
    names.iter_mut().zip(all).for_each(|(place, name)| *place = name);
    names
}

impl Builtin {
    /// All of them, in the order in which the model sees them.
    pub(super) const ALL: [Self; 14] = [
        Self::CreateTask,
        Self::ListTasks,
        Self::UpdateTask,
        Self::PostMessage,
        Self::CreateDocument,
        Self::ListNotifications,
        Self::ReadSkill,
        Self::CallBackend,
        Self::RequestTool,
        Self::Recall,
        Self::Remember,
        Self::Forget,
        Self::FindTools,
        Self::ReadResult,
    ];

    /// The tool's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CreateTask => "create_task",
            Self::ListTasks => "list_tasks",
            Self::UpdateTask => "update_task",
            Self::PostMessage => "post_message",
            Self::CreateDocument => "create_document",
            Self::ListNotifications => "list_notifications",
            Self::ReadSkill => "read_skill",
            Self::CallBackend => "call_backend",
            Self::RequestTool => REQUEST_TOOL,
            Self::Recall => "recall",
            Self::Remember => "remember",
            Self::Forget => "forget",
            Self::FindTools => FIND_TOOLS,
            Self::ReadResult => READ_RESULT,
        }
    }

    /// The endpoint of the contract that the tool calls.
    pub(super) fn endpoint(self) -> Option<EndpointPattern> {
        let (method, path) = self.template()?;
        EndpointPattern::of_template(method, &format!("{MISSION_CONTROL}{path}")).ok()
    }

    /// The method and the path that a call of the tool has.
    pub(super) fn call(
        self,
        arguments: &Value,
    ) -> Option<Result<(&'static str, NormalPath), PathError>> {
        let (method, path) = self.template()?;
        let id = |name: &str| encoded(arguments[name].as_str().unwrap_or_default());
        let path = path.replace(TASK_ID, &id("task_id")).replace(ID, &id("id"));
        let path = format!("{MISSION_CONTROL}{path}");
        Some(NormalPath::parse(&path).map(|path| (method, path)))
    }

    fn template(self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::CreateTask => ("POST", "/tasks"),
            Self::ListTasks => ("GET", "/tasks"),
            Self::UpdateTask => ("PATCH", "/tasks/{task_id}"),
            Self::PostMessage => ("POST", "/messages"),
            Self::CreateDocument => ("POST", "/documents"),
            Self::ListNotifications => ("GET", "/notifications"),
            Self::RequestTool => ("POST", "/tool-requests"),
            Self::Recall => ("GET", "/memories"),
            Self::Remember => ("POST", "/memories"),
            Self::Forget => ("DELETE", "/memories/{id}"),
            Self::ReadSkill | Self::CallBackend | Self::FindTools | Self::ReadResult => {
                return None;
            }
        })
    }

    /// Whether the backend and the workspace have what the tool needs.
    pub(super) fn available(
        self,
        capabilities: &Capabilities,
        has_skills: bool,
        endpoints: &[SkillEndpoint],
    ) -> bool {
        match self {
            // The required part of the contract.
            Self::CreateTask | Self::ListTasks | Self::PostMessage | Self::CreateDocument => true,
            Self::UpdateTask => capabilities.has("tasks_update"),
            Self::ListNotifications => capabilities.has("notifications"),
            Self::ReadSkill => has_skills,
            Self::CallBackend => {
                endpoints.iter().any(|declared| !declares_reserved(&declared.pattern))
            }
            // The journal keeps the run until the person has decided.
            Self::RequestTool => {
                capabilities.has("tool_requests") && capabilities.has("run_journal")
            }
            Self::Recall | Self::Remember | Self::Forget => capabilities.has("memories"),
            // Roles have the one that have tools to find, runs the other that have results to read.
            Self::FindTools | Self::ReadResult => false,
        }
    }

    /// Whether a role with this access to memories has the tool.
    pub(super) fn is_for(self, memory: &MemoryAccess) -> bool {
        match self {
            Self::Recall => memory.reads(),
            Self::Remember | Self::Forget => memory.writes(),
            Self::CreateTask
            | Self::ListTasks
            | Self::UpdateTask
            | Self::PostMessage
            | Self::CreateDocument
            | Self::ListNotifications
            | Self::ReadSkill
            | Self::CallBackend
            | Self::RequestTool
            | Self::FindTools
            | Self::ReadResult => true,
        }
    }

    /// The tool as the model sees it.
    pub(super) fn spec(self, endpoints: &[&EndpointPattern]) -> ToolSpec {
        let mut description = self.description().to_owned();
        let mut parameters = self.parameters();
        if self == Self::CallBackend {
            let list: String = endpoints.iter().map(|endpoint| format!("\n{endpoint}")).collect();
            if description.chars().count() + list.chars().count() <= MAX_DESCRIPTION {
                description += &list;
            } else {
                // Some providers take no longer description of a tool, but of an argument they do.
                description = format!("{CALL_BACKEND} Only the endpoints that `path` names.");
                let path = &mut parameters["properties"]["path"]["description"];
                *path = format!("{} One of:{list}", path.as_str().unwrap_or_default()).into();
            }
        }
        ToolSpec { name: self.name().to_owned(), description, parameters }
    }

    /// What the tool does. The list of endpoints follows for `call_backend`.
    fn description(self) -> &'static str {
        match self {
            Self::CreateTask => "Create a task for the user.",
            Self::ListTasks => "List the user's tasks.",
            Self::UpdateTask => "Change a task of the user. Only what you give changes.",
            Self::PostMessage => {
                "Write a message into a task's thread, beside your reply. Your reply itself is \
                 stored for you; do not post it."
            }
            Self::CreateDocument => "Write a document: a plan, research, a deliverable.",
            Self::ListNotifications => "List the user's notifications that nobody has read yet.",
            Self::ReadSkill => "Read a skill's instructions, or a file that belongs to it.",
            Self::CallBackend => {
                "Call the backend's own API as the user. The skills say when and how. Only \
                     these endpoints can be called:"
            }
            Self::RequestTool => {
                "Ask the user to approve a call of one of your other tools, and make it once they \
                 have. Use it when something should not happen without their word. The call is \
                 made with exactly these arguments, or not at all."
            }
            Self::Recall => memory_specs::RECALL,
            Self::Remember => memory_specs::REMEMBER,
            Self::Forget => memory_specs::FORGET,
            Self::ReadResult => {
                "Read more of a result that was cut: from a character on (offset), by a JSONPath, or the parts that \
                 have some words (query). Give one of the three."
            }
            Self::FindTools => {
                "Find more tools: not all that you may call are shown. Say in a few words what is to be done and with \
                 what, such as \"send an invoice\". The tools that fit best can be called from your next step on."
            }
        }
    }

    /// The JSON Schema of the arguments.
    fn parameters(self) -> Value {
        match self {
            Self::CreateTask => object(
                json!({
                    "title": { "type": "string", "minLength": 1, "description": "Short and specific." },
                    "description": { "type": "string", "description": "What is to be done." },
                    "status": status(),
                    "metadata": { "type": "object", "description": "Anything worth keeping with the task." }
                }),
                &["title"],
            ),
            Self::ListTasks => object(
                json!({
                    "status": status(),
                    "title": { "type": "string", "description": "Only tasks with exactly this title." },
                    "limit": { "type": "integer", "minimum": 1, "maximum": 200 },
                    "cursor": { "type": "string", "description": "next_cursor of the page before." }
                }),
                &[],
            ),
            Self::UpdateTask => object(
                json!({
                    "task_id": { "type": "string", "minLength": 1 },
                    "status": status(),
                    "title": { "type": "string", "minLength": 1 },
                    "description": { "type": "string" },
                    "metadata": { "type": "object", "description": "Replaces the metadata as a whole." }
                }),
                &["task_id"],
            ),
            Self::PostMessage => object(
                json!({
                    "content": { "type": "string", "minLength": 1, "description": "Markdown." },
                    "task_id": { "type": "string", "minLength": 1, "description": "The current task when absent." }
                }),
                &["content"],
            ),
            Self::CreateDocument => object(
                json!({
                    "title": { "type": "string", "minLength": 1 },
                    "content": { "type": "string", "minLength": 1, "description": "Markdown." },
                    "doc_type": { "type": "string", "description": "plan, research, deliverable, standup, or another word." },
                    "task_id": { "type": "string", "minLength": 1, "description": "The current task when absent." }
                }),
                &["title", "content"],
            ),
            Self::ListNotifications => object(json!({}), &[]),
            Self::ReadSkill => object(
                json!({
                    "name": { "type": "string", "minLength": 1, "description": "The skill." },
                    "file": { "type": "string", "description": "A file beside the skill, such as references/api.md." }
                }),
                &["name"],
            ),
            Self::CallBackend => object(
                json!({
                    "method": { "type": "string", "enum": ["GET", "POST", "PUT", "PATCH", "DELETE"] },
                    "path": { "type": "string", "description": "The path with its parameters filled in, such as /api/things/42." },
                    "query": { "type": "object", "description": "Query parameters: strings, numbers, booleans, or lists of them." },
                    "body": { "description": "The JSON body." }
                }),
                &["method", "path"],
            ),
            Self::RequestTool => object(
                json!({
                    "tool": { "type": "string", "minLength": 1, "description": "The other tool's name.", TOOL_NAME: true },
                    "arguments": { "type": "object", "description": "What it would be called with.", TOOL_ARGUMENTS: true },
                    "reason": { "type": "string", "minLength": 1, "description": "Why, for the person who decides." }
                }),
                &["tool", "arguments", "reason"],
            ),
            Self::Recall => object(memory_specs::of_recall(), &["query"]),
            Self::Remember => object(memory_specs::of_remember(), &["text", "scope"]),
            Self::Forget => object(memory_specs::of_forget(), &["id"]),
            Self::ReadResult => object(
                json!({
                    "id": { "type": "string", "minLength": 1, "maxLength": 64, "description": "The id that the note of the cut result names." },
                    "offset": { "type": "integer", "minimum": 0, "description": "The character to read from." },
                    "jsonpath": { "type": "string", "minLength": 1, "maxLength": 500, "description": "Of JSON: what this JSONPath finds, such as $.items[?@.status == 'open'].id" },
                    "query": { "type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "description": "The parts that have these words." }
                }),
                &["id"],
            ),
            Self::FindTools => object(
                json!({
                    "query": { "type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "description": "What is to be done, in English where the tools are." }
                }),
                &["query"],
            ),
        }
    }
}

/// A text as a part of a path: all but what RFC 3986 calls unreserved is encoded.
pub(super) fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let part = |byte: u8| {
        if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(part).collect()
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

fn status() -> Value {
    json!({ "type": "string", "enum": TaskStatus::ALL.map(TaskStatus::as_str) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_endpoints_are_named_where_they_are_not_cut() {
        let patterns: Vec<_> = (0..100)
            .map(|n| EndpointPattern::parse(&format!("GET /api/things/{n}")).unwrap())
            .collect();
        for count in [1, 100] {
            let endpoints: Vec<_> = patterns.iter().take(count).collect();
            let spec = Builtin::CallBackend.spec(&endpoints);
            assert!(spec.description.chars().count() <= MAX_DESCRIPTION);
            let path = spec.parameters["properties"]["path"]["description"].as_str().unwrap();
            let last = format!("GET /api/things/{}", count - 1);
            assert_eq!(spec.description.contains(&last), count == 1, "{}", spec.description);
            assert_eq!(path.contains(&last), count == 100, "{path}");
        }
    }
}
