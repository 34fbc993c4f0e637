//! Tools that a model is not given at once, because there are many of them, or because its role defers them
//! (`WOMBAT_TOOLS_DIRECT`, `tools.defer`): it finds them by `find_tools`.

use std::collections::HashSet;
use std::sync::Arc;

use llm::request::{ToolCall, ToolList, ToolSpec};
use serde_json::{Value, json};
use tool_search::{Entry, Index};
use wombat_core::agent_config::{AgentProfile, NamedTool, RuleList};
use wombat_core::untrusted::break_control_tokens;
use wombat_core::workspace::Snapshot;

use super::catalogue::{Catalogue, ExternalTool};
use super::enabled;
use super::read_result;
use super::reply::ToolReply;
use super::set::ToolSet;
use super::specs::{Builtin, FIND_TOOLS, READ_RESULT, RequestedCall};

/// How many tools one question finds.
const MOST_FOUND: usize = 5;

/// How many found tools a run keeps: with those given at once, what all providers take in one request.
pub(super) const MOST_LOADED: usize = 80;

/// What a model is told whose call of a tool that it was not given does not fit.
const DEFINED_NOW: &str =
    "; the tool is among yours from now on: see its arguments, and call it again";

/// How much of a tool's schema is told where there is no room for the tool, bytes.
const MAX_SCHEMA: usize = 2_000;

/// The longest description of a found tool in the answer, characters. The whole one comes with the tool.
const MAX_DESCRIPTION: usize = 240;

/// How many arguments of a found tool are named.
const MAX_ARGUMENTS: usize = 12;

/// The longest list of what there is to be found, bytes: some providers take no longer description of a tool.
const MAX_TOPICS: usize = 600;

/// The longest name of what there is to be found, characters.
const MAX_TOPIC: usize = 40;

/// The tools of a catalogue, with those that are built in, as they are looked for.
#[derive(Debug)]
pub(super) struct ToolIndex {
    names: Vec<String>,
    index: Index,
}

impl ToolIndex {
    pub(super) fn of(tools: &[Arc<ExternalTool>]) -> Self {
        let builtin = Builtin::ALL.into_iter().map(|tool| tool.spec(&[]));
        let own: Vec<ToolSpec> = builtin.chain(enabled::ALL.map(|tool| tool.spec())).collect();
        let theirs = tools.iter().map(|tool| Entry { tags: &tool.tags, ..entry(&tool.spec) });
        let index = Index::build(own.iter().map(entry).chain(theirs));
        let names = own.iter().map(|spec| &spec.name);
        let names = names.chain(tools.iter().map(|tool| &tool.spec.name)).cloned().collect();
        Self { names, index }
    }
}

fn entry(spec: &ToolSpec) -> Entry<'_> {
    let ToolSpec { name, description, parameters } = spec;
    Entry { name, description, tags: &[], parameters }
}

/// The deferred tools of a role.
#[derive(Debug)]
pub(super) struct Deferred {
    catalogue: Arc<Catalogue>,
    /// Their names, in the order in which models would see them.
    names: Vec<String>,
    /// The definitions of those that are built in.
    own: Vec<ToolSpec>,
    /// By its place in the index: whether a tool may be found.
    is_found: Vec<bool>,
}

/// Which tools of a role are given at once.
pub(super) struct Plan<'a> {
    snapshot: &'a Snapshot,
    profile: &'a AgentProfile,
    most: usize,
    /// Whether the role may find tools; else it has all of them at once.
    finds: bool,
}

impl<'a> Plan<'a> {
    /// `most` tools are given at once, or more where so many are built in.
    pub(super) fn new(snapshot: &'a Snapshot, profile: &'a AgentProfile, most: usize) -> Self {
        let rule = profile.tools.withheld_by(&NamedTool::without_endpoint(FIND_TOOLS));
        // It calls nothing, so that no list has to allow it.
        let finds = rule.is_none_or(|rule| rule.list != RuleList::Deny);
        Self { snapshot, profile, most, finds }
    }

    /// Whether the role's patterns defer a tool.
    pub(super) fn defers(&self, tool: &NamedTool<'_>) -> bool {
        self.finds && self.profile.tools.defers(tool)
    }

    /// Of external tools, whether each is given at once, where so many others are: those that the workspace names,
    /// then the first of the others.
    pub(super) fn direct(&self, tools: &[&Arc<ExternalTool>], others: usize) -> Vec<bool> {
        let mut direct: Vec<bool> = tools.iter().map(|tool| !self.defers(&tool.named())).collect();
        let wanted = direct.iter().filter(|is_direct| **is_direct).count();
        let is_one_deferred = wanted < tools.len();
        if !self.finds || wanted + others + usize::from(is_one_deferred) <= self.most {
            return direct;
        }
        let mut room = self.most.saturating_sub(others + 1);
        let is_named: Vec<bool> =
            tools.iter().map(|tool| tool.is_exactly_named(self.snapshot, self.profile)).collect();
        let mut is_kept = vec![false; tools.len()];
        for by_name in [true, false] {
            for at in (0..tools.len()).filter(|at| direct[*at] && is_named[*at] == by_name) {
                is_kept[at] = room > 0;
                room = room.saturating_sub(1);
            }
        }
        direct.copy_from_slice(&is_kept);
        direct
    }
}

impl Deferred {
    /// `None` where all tools are given at once. `is_external` says of a name whether it is one of the role's
    /// tools that are not built in.
    pub(super) fn new(
        catalogue: &Arc<Catalogue>,
        names: Vec<String>,
        own: Vec<ToolSpec>,
        is_external: impl Fn(&str) -> bool,
    ) -> Option<Box<Self>> {
        if names.is_empty() {
            return None;
        }
        let index = catalogue.index();
        let is_own = |name: &str| own.iter().any(|spec: &ToolSpec| spec.name == name);
        let is_found = index.names.iter().map(|name| is_external(name) || is_own(name)).collect();
        Some(Box::new(Self { catalogue: catalogue.clone(), names, own, is_found }))
    }

    /// Their names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The tool by which they are found, with what there is.
    pub(super) fn finder(&self) -> ToolSpec {
        let mut spec = Builtin::FindTools.spec(&[]);
        let mut topics: Vec<(String, usize)> = Vec::new();
        let names: HashSet<&str> = self.names.iter().map(String::as_str).collect();
        for tool in self.catalogue.tools.iter().filter(|tool| names.contains(tool.name())) {
            for tag in tool.tags.iter().filter_map(|tag| topic(tag)) {
                match topics.iter_mut().find(|(known, _)| *known == tag) {
                    Some((_, count)) => *count += 1,
                    None => topics.push((tag, 1)),
                }
            }
        }
        topics.sort_by(|(left, a), (right, b)| b.cmp(a).then(left.cmp(right)));
        let mut told = String::new();
        for (topic, count) in topics {
            let more = format!("{}{topic} ({count})", if told.is_empty() { "" } else { ", " });
            if told.len() + more.len() > MAX_TOPICS {
                told.push_str(", …");
                break;
            }
            told.push_str(&more);
        }
        let count = self.names.len();
        spec.description = format!("{} There are {count} of them", spec.description);
        spec.description += &if told.is_empty() { ".".to_owned() } else { format!(": {told}.") };
        spec
    }

    /// The names that fit a question best, the best first: also of tools that the model has already.
    fn search(&self, question: &str) -> Vec<&str> {
        let ToolIndex { names, index } = self.catalogue.index();
        let is_found = |at: usize| self.is_found.get(at).copied().unwrap_or_default();
        let found = index.search(question, MOST_FOUND, is_found);
        found.into_iter().map(|at| names[at].as_str()).collect()
    }

    pub(super) fn own(&self, name: &str) -> Option<&ToolSpec> {
        self.own.iter().find(|spec| spec.name == name)
    }
}

/// A tag as it may stand in the description of a tool of ours.
fn topic(tag: &str) -> Option<String> {
    let plain = |c: char| if c.is_alphanumeric() || "-_/& ".contains(c) { c } else { ' ' };
    let text: String = break_control_tokens(tag).chars().take(MAX_TOPIC).map(plain).collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

/// Whether a model that was given these tools since its run began can be given one more. The reader of long results
/// does not count.
fn has_room(loaded: &[String]) -> bool {
    loaded.iter().filter(|name| *name != READ_RESULT).count() < MOST_LOADED
}

/// Adds a tool to those that a model is given since its run began; whether it is there now.
pub fn add_loaded(loaded: &mut Vec<String>, name: &str) -> bool {
    if loaded.iter().any(|known| known == name) {
        return true;
    }
    let is_added = name == READ_RESULT || has_room(loaded);
    if is_added {
        loaded.push(name.to_owned());
    }
    is_added
}

fn question_of(arguments: &Value) -> &str {
    arguments["query"].as_str().unwrap_or_default()
}

impl ToolSet {
    /// Whether the role's model is not given this tool at once.
    pub fn is_deferred(&self, name: &str) -> bool {
        let is_it = |deferred: &Deferred| deferred.names.iter().any(|known| known == name);
        self.deferred().is_some_and(is_it)
    }

    /// The tools that the role's model is not given at once.
    pub fn deferred_names(&self) -> &[String] {
        self.deferred().map_or(&[], Deferred::names)
    }

    /// What a call gives the model for the rest of its run: the tools that it finds, or the one that it calls
    /// without having been given it.
    pub fn loaded_by(&self, call: &ToolCall) -> Vec<String> {
        let Some(deferred) = self.deferred() else { return Vec::new() };
        if call.name == FIND_TOOLS {
            let found = deferred.search(question_of(&call.arguments)).into_iter();
            return found.filter(|name| self.is_deferred(name)).map(str::to_owned).collect();
        }
        let named = self.name_of(RequestedCall::of(call).tool);
        named.filter(|name| self.is_deferred(name)).map(str::to_owned).into_iter().collect()
    }

    /// The tools that the model is given at once, and behind them those that it has been given since, in order.
    pub fn with_loaded(&self, loaded: &[String]) -> ToolList {
        let loaded = loaded.iter().filter_map(|name| self.deferred_spec(name));
        self.specs().iter().chain(loaded).cloned().collect::<Vec<_>>().into()
    }

    fn deferred_spec(&self, name: &str) -> Option<&ToolSpec> {
        if name == READ_RESULT {
            return self.has(name).then(read_result::spec);
        }
        let deferred = self.deferred().filter(|_| self.is_deferred(name))?;
        deferred.own(name).or_else(|| Some(&self.external(name)?.spec))
    }

    /// What a model is told of the definition of a tool that it has called without having been given it; `None` of a
    /// tool that it has.
    pub(super) fn definition_told(&self, name: &str, loaded: &[String]) -> Option<String> {
        let name = self.name_of(name)?;
        if !self.is_deferred(name) || loaded.iter().any(|known| known == name) {
            return None;
        }
        if has_room(loaded) {
            return Some(DEFINED_NOW.to_owned());
        }
        let schema = self.deferred_spec(name)?.parameters.to_string();
        let cut = schema.floor_char_boundary(MAX_SCHEMA);
        let more = if cut < schema.len() { " …" } else { "" };
        Some(format!("; the schema of its arguments: {}{more}", &schema[..cut]))
    }

    /// The answer of `find_tools` to a model that was given these tools since its run began.
    pub(super) fn find_tools(&self, arguments: &Value, loaded: &[String]) -> ToolReply {
        let Some(deferred) = self.deferred() else {
            return ToolReply::NotMade("there are no other tools".to_owned());
        };
        let found = deferred.search(question_of(arguments));
        if found.is_empty() {
            let note = "no tool fits; say it in other words: what is to be done, and with what";
            return ToolReply::data(&json!({ "found": [], "note": note }));
        }
        let specs = self.specs().iter();
        let told = |name: &str| {
            let spec = self.deferred_spec(name);
            let spec = spec.or_else(|| specs.clone().find(|spec| spec.name == name))?;
            let arguments = spec.parameters["properties"].as_object().into_iter().flatten();
            let arguments: Vec<_> = arguments.take(MAX_ARGUMENTS).map(|(name, _)| name).collect();
            let cut = llm::cut_at_sentence(&spec.description, MAX_DESCRIPTION);
            let description = cut.as_ref().unwrap_or(&spec.description);
            Some(json!({ "tool": name, "description": description, "arguments": arguments }))
        };
        let mut all = loaded.to_vec();
        let mut is_there = |name: &&str| !self.is_deferred(name) || add_loaded(&mut all, name);
        let left_out: Vec<&str> = found.iter().copied().filter(|name| !is_there(name)).collect();
        let found: Vec<_> = found.into_iter().filter_map(told).collect();
        if left_out.is_empty() {
            return ToolReply::data(&json!({ "found": found }));
        }
        let note = format!(
            "a run is given {MOST_LOADED} tools that it finds, and has them: not added to yours are {}. They can still be \
             called by their names; what of the arguments is wrong is answered with their schema",
            left_out.join(", ")
        );
        ToolReply::data(&json!({ "found": found, "note": note }))
    }
}
