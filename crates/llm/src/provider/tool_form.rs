//! Tools in the form that a provider takes, and the way back.
//!
//! One tool that a provider would refuse costs itself, not the request: its name and the names of its
//! arguments are mapped, its schema is cleaned, a long description is cut, and what cannot be sent is
//! left out with its reason. Messages go out through the same map, and answers come back through it, so
//! that a caller sees only the tools' own names.

mod arguments;
mod names;
mod refused;
mod rules;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use arguments::Arguments;
use names::NameMap;

use refused::{Definition, Refusal};
pub(super) use refused::{Refused, RefusedTools, after as refused_after, speaks_of_tools};
pub(super) use rules::Rules;

use crate::provider::answer::Answer;
use crate::provider::schema::{self, Cleaner};
use crate::request::{
    LlmRequest, Message, TOOL_ARGUMENTS, TOOL_NAME, ToolCall, ToolChange, ToolList, ToolProblem,
    ToolSpec,
};
use crate::sentence::cut_at_sentence;

/// The largest schema, bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// The most characters of a description that a provider has refused as too long. Servers that tell have
/// limits of 512 and 1,024.
const SHORT_DESCRIPTION: usize = 512;

/// A tool as it is sent.
#[derive(Debug)]
pub(super) struct WireTool {
    pub(super) name: String,
    pub(super) description: String,
    /// An object without combinations at its root.
    pub(super) parameters: Value,
}

/// A list of tools in the form of one provider.
#[derive(Debug)]
pub(super) struct ToolForm {
    protocol: &'static str,
    rules: Rules,
    /// The tools that the provider has refused.
    refused: Option<Refused>,
    /// The tools that are sent, in order, with their names at the provider.
    sent: Vec<(String, Definition)>,
    /// The JSON of the tools; `None` when none can be sent.
    json: Option<String>,
    names: NameMap,
    /// The tools of which arguments have other names.
    arguments: HashMap<String, Arguments>,
    /// The tools that name another tool and its arguments: the two properties.
    wrappers: HashMap<String, (String, String)>,
    problems: Vec<ToolProblem>,
}

impl ToolForm {
    /// The form of a list; `write` makes the protocol's JSON.
    pub(super) fn of(
        protocol: &'static str,
        rules: Rules,
        refused: Option<Refused>,
        specs: &[ToolSpec],
        write: impl FnOnce(&[WireTool]) -> Value,
    ) -> Self {
        let all: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        let mut form = Self {
            protocol,
            rules,
            refused,
            sent: Vec::new(),
            json: None,
            names: NameMap::of(&all, rules.tool_names),
            arguments: HashMap::new(),
            wrappers: HashMap::new(),
            problems: Vec::new(),
        };
        let mut tools: Vec<WireTool> = Vec::new();
        let mut seen = HashSet::new();
        let mut surplus = Vec::new();
        for spec in specs {
            if !seen.insert(spec.name.as_str()) {
                form.problem(
                    spec,
                    ToolChange::LeftOut,
                    "another tool has the same name".to_owned(),
                );
            } else if rules.max_tools.is_some_and(|max| tools.len() >= max) {
                surplus.push(spec);
            } else if let Some(tool) = form.tool(spec) {
                form.sent.push((tool.name.clone(), Definition::of(spec)));
                tools.push(tool);
            }
        }
        for spec in surplus {
            let max = rules.max_tools.unwrap_or_default();
            let why = format!("the limit of the provider is {max}, and this tool comes after it");
            form.problem(spec, ToolChange::LeftOut, why);
        }
        if !tools.is_empty() {
            form.json = Some(write(&tools).to_string());
        }
        form
    }

    /// Whether this is the form of a protocol under these rules, after these refusals.
    pub(super) fn is_of(
        &self,
        protocol: &'static str,
        rules: Rules,
        refused: Option<&Refused>,
    ) -> bool {
        self.protocol == protocol && self.rules == rules && self.refused.as_ref() == refused
    }

    /// The tools that a provider's error names.
    fn named_in(&self, error: &str) -> BTreeSet<&Definition> {
        let by_place = refused::places(error).into_iter().filter_map(|at| self.sent.get(at));
        let names = refused::names(error);
        let by_name = self.sent.iter().filter(|(wire, _)| names.contains(&wire.as_str()));
        by_place.chain(by_name).map(|(_, tool)| tool).collect()
    }

    fn refusal(&self, tool: &ToolSpec) -> Option<&Refusal> {
        self.refused.as_ref()?.get(&Definition::of(tool))
    }

    /// The JSON of the tools; `None` when none can be sent.
    pub(super) fn json(&self) -> Option<&str> {
        self.json.as_deref()
    }

    /// What differs from the tools' definitions.
    pub(super) fn problems(&self) -> &[ToolProblem] {
        &self.problems
    }

    fn problem(&mut self, spec: &ToolSpec, change: ToolChange, reason: String) {
        self.problems.push(ToolProblem { tool: spec.name.clone(), change, reason });
    }

    /// A tool as it is sent; `None` when it is left out.
    fn tool(&mut self, spec: &ToolSpec) -> Option<WireTool> {
        let refusal = self.refusal(spec).cloned();
        let is_shortened = refusal == Some(Refusal::Shortened);
        match refusal {
            // What is cut of its description is told below.
            None | Some(Refusal::Shortened) => {}
            Some(Refusal::Simplified) => {
                let why =
                    "the provider refused its schema, and gets it in simpler words".to_owned();
                self.problem(spec, ToolChange::Cut, why);
            }
            Some(Refusal::LeftOut(said)) => {
                self.problem(spec, ToolChange::LeftOut, format!("the provider refused it: {said}"));
                return None;
            }
        }
        let parameters = match self.parameters(spec) {
            Ok(parameters) => parameters,
            Err(why) => {
                self.problem(spec, ToolChange::LeftOut, why);
                return None;
            }
        };
        let name = match self.names.wire(&spec.name).map(str::to_owned) {
            None => spec.name.clone(),
            Some(wire) => {
                let why = format!("the provider does not take its name; there it is {wire}");
                self.problem(spec, ToolChange::Mapped, why);
                wire
            }
        };
        if let Some(wrapped) = wrapper(&spec.parameters) {
            self.wrappers.insert(spec.name.clone(), wrapped);
        }
        let given = spec.description.trim();
        let mut description = if given.is_empty() { name.as_str() } else { given }.to_owned();
        let max = self.rules.max_description.unwrap_or(usize::MAX);
        let max = if is_shortened { max.min(SHORT_DESCRIPTION) } else { max };
        if let Some(cut) = cut_at_sentence(&description, max) {
            let length = description.chars().count();
            let why = format!(
                "its description has {length} characters, and the provider takes {max}; the end is cut"
            );
            self.problem(spec, ToolChange::Cut, why);
            description = cut;
        }
        Some(WireTool { name, description, parameters })
    }

    /// The schema as it is sent.
    fn parameters(&mut self, spec: &ToolSpec) -> Result<Value, String> {
        let nulls = self.rules.null_in_enum;
        let as_they_are = |name: &str| name.to_owned();
        let cleaner = Cleaner::new(&spec.parameters, nulls, &as_they_are);
        let mut cleaned = cleaner.root()?;
        let names = cleaner.names();
        if let Some(arguments) = Arguments::of(&spec.parameters, &names, self.rules.argument_names)
        {
            let renamed = |name: &str| arguments.wire_name(name);
            cleaned = Cleaner::new(&spec.parameters, nulls, &renamed).root()?;
            for (from, to) in arguments.names().pairs() {
                let why =
                    format!("the provider does not take the argument {from:?}; there it is {to}");
                self.problem(spec, ToolChange::Mapped, why);
            }
            self.arguments.insert(spec.name.clone(), arguments);
        }
        let plain = self.rules.plain || self.refusal(spec) == Some(&Refusal::Simplified);
        let schema = schema::for_tool(&cleaned, plain);
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("its schema exceeds {} KiB", MAX_SCHEMA_BYTES / 1024));
        }
        Ok(schema)
    }

    /// The name that goes to the provider: a tool's, or what a model called instead.
    fn wire_name<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        match self.names.wire(name) {
            Some(wire) => Cow::Borrowed(wire),
            None if self.rules.tool_names.fits(name) => Cow::Borrowed(name),
            None => Cow::Owned(self.rules.tool_names.fit(name)),
        }
    }

    /// Whether a call of a tool goes out as it is.
    fn is_plain(&self, name: &str) -> bool {
        self.rules.tool_names.fits(name)
            && !self.arguments.contains_key(name)
            && !self.wrappers.contains_key(name)
    }

    /// The request with the provider's names in its messages.
    pub(super) fn outgoing<'a>(&self, request: &'a LlmRequest) -> Cow<'a, LlmRequest> {
        let is_plain = |message: &Message| match message {
            Message::System { .. } | Message::User { .. } => true,
            Message::Assistant(turn) => {
                turn.tool_calls.iter().all(|call| self.is_plain(&call.name))
            }
            Message::Tool { name, .. } => self.rules.tool_names.fits(name),
        };
        let none_sent = self.json.is_none() && !request.tools.is_empty();
        if request.messages.iter().all(is_plain) && !none_sent {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        if none_sent {
            request.tools = ToolList::default();
        }
        for message in &mut request.messages {
            match message {
                Message::System { .. } | Message::User { .. } => {}
                Message::Assistant(turn) => {
                    for call in &mut turn.tool_calls {
                        self.call_out(call);
                    }
                }
                Message::Tool { name, .. } => *name = self.wire_name(name).into_owned(),
            }
        }
        Cow::Owned(request)
    }

    fn call_out(&self, call: &mut ToolCall) {
        if let Some((tool, inner)) = self.wrappers.get(&call.name)
            && let Some(name) = call.arguments[tool].as_str().map(str::to_owned)
        {
            if let (Some(arguments), Some(inner)) =
                (self.arguments.get(&name), call.arguments.get_mut(inner))
            {
                *inner = arguments.to_wire(inner);
            }
            if let Some(wire) = self.names.wire(&name) {
                call.arguments[tool] = json!(wire);
            }
        }
        if let Some(arguments) = self.arguments.get(&call.name) {
            call.arguments = arguments.to_wire(&call.arguments);
        }
        call.name = self.wire_name(&call.name).into_owned();
    }

    /// Gives an answer's calls the tools' own names.
    pub(super) fn incoming(&self, answer: &mut Answer) {
        for call in &mut answer.message.tool_calls {
            if let Some(original) = self.names.original(&call.name) {
                call.name = original.to_owned();
            }
            if let Some(arguments) = self.arguments.get(&call.name) {
                call.arguments = arguments.to_original(&call.arguments);
            }
            let Some((tool, inner)) = self.wrappers.get(&call.name) else { continue };
            let Some(name) = call.arguments[tool].as_str() else { continue };
            let name = self.names.original(name).unwrap_or(name).to_owned();
            if let (Some(arguments), Some(inner)) =
                (self.arguments.get(&name), call.arguments.get_mut(inner))
            {
                *inner = arguments.to_original(inner);
            }
            call.arguments[tool] = json!(name);
        }
    }
}

/// The two properties of a tool that calls another one.
fn wrapper(schema: &Value) -> Option<(String, String)> {
    let properties: &Map<String, Value> = schema.get("properties")?.as_object()?;
    let marked = |mark: &str| {
        let is_marked = |schema: &Value| schema.get(mark) == Some(&Value::Bool(true));
        properties.iter().find(|(_, schema)| is_marked(schema)).map(|(name, _)| name.clone())
    };
    Some((marked(TOOL_NAME)?, marked(TOOL_ARGUMENTS)?))
}
