//! Redaction of a run: what its model gets, what the backend keeps of it and what traces and logs have, as its role's
//! rules say (docs/SECURITY.md, "Redaction"). Where values come back, the run's tools, its reply and its readers get them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use llm::request::{AssistantMessage, Message, ResponseSchema, ToolCall};
use mc_client::client::AgentClient;
use mc_client::journal_seal::Mask;
use mc_client::steps::KnownFile;
use serde_json::Value;
use wombat_core::agent_config::AgentProfile;
use wombat_core::redact::{RedactRules, Redactor};

use super::context::RunContext;
use super::driver::RunDriver;
use super::journal::Journal;
use super::numbers_again::Wanted;
use super::typed::Typed;
use crate::call_log::log_mask;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::output::OutputFormat;
use crate::run::request::RunRequest;
use crate::run::state_machine::{PlannedCall, identity};
use crate::state::App;
use crate::tools::READ_RESULT;

/// The redactor of a run of this role, where that has anything redacted: by the rules of the snapshot that the run
/// works with.
pub(super) fn of_profile(
    app: &App,
    request: &RunRequest,
    profile: &AgentProfile,
) -> Option<Arc<Redactor>> {
    let rules = profile.redact.clone()?;
    Some(made(app, request, rules))
}

/// The same as the workspace is now, for what is told of a run without working on it.
///
/// # Errors
/// When the workspace cannot be used: then what is to be redacted is not known.
pub(super) fn of_run(app: &App, request: &RunRequest) -> Result<Option<Arc<Redactor>>, RunError> {
    let role = request.session.role().as_str();
    let chosen = app.workspaces.for_run(&request.customer, role)?;
    Ok(of_profile(app, request, &chosen.profile))
}

/// One that replaces nothing, for what was replaced by other rules.
pub(super) fn restoring(app: &App, request: &RunRequest) -> Arc<Redactor> {
    made(app, request, Arc::new(RedactRules::giving_back()))
}

fn made(app: &App, request: &RunRequest, rules: Arc<RedactRules>) -> Arc<Redactor> {
    let (key, user) = (app.settings.redact_key.clone(), request.session.user().as_str());
    Arc::new(Redactor::new(rules, key, user))
}

/// The same with what earlier attempts of the run have replaced: that comes back although the rules may be others by
/// now, or none.
pub(super) fn of_journal(journal: &Journal, run: &RunDriver<'_>) -> Option<Arc<Redactor>> {
    let redactor = match &run.redactor {
        Some(redactor) => Some(redactor.clone()),
        None if journal.gives_back() => Some(restoring(run.app, run.request)),
        None => None,
    };
    journal.give_back_by(redactor.as_ref());
    redactor
}

/// Masks what a run writes into its journal.
#[derive(Debug)]
struct JournalMask(Arc<Redactor>);

impl Mask for JournalMask {
    fn mask(&self, name: &str, value: &mut Value) -> bool {
        self.0.mask_field(name, value)
    }
}

/// A client that writes, and logs, what the rules leave of a run.
pub(super) fn masked(client: AgentClient, redactor: Option<&Arc<Redactor>>) -> AgentClient {
    let client = match log_mask(redactor) {
        Some(mask) => client.with_log_mask(mask),
        None => client,
    };
    match redactor.filter(|redactor| redactor.rules().to.journal) {
        Some(redactor) => client.with_mask(Arc::new(JournalMask(redactor.clone()))),
        None => client,
    }
}

/// A text as the backend's lists have it.
pub(super) fn in_journal<'t>(redactor: Option<&Arc<Redactor>>, text: &'t str) -> Cow<'t, str> {
    match redactor.filter(|redactor| redactor.rules().to.journal) {
        Some(redactor) => redactor.mask(text),
        None => Cow::Borrowed(text),
    }
}

/// A text for the log.
pub(super) fn logged<'t>(redactor: Option<&Arc<Redactor>>, text: &'t str) -> Cow<'t, str> {
    match traced_by(redactor) {
        Some(redactor) => redactor.mask(text),
        None => Cow::Borrowed(text),
    }
}

/// A value for a trace, as JSON.
pub(super) fn traced(redactor: Option<&Arc<Redactor>>, mut value: Value) -> String {
    if let Some(redactor) = traced_by(redactor) {
        redactor.mask_value(&mut value, true);
    }
    value.to_string()
}

fn traced_by(redactor: Option<&Arc<Redactor>>) -> Option<&Arc<Redactor>> {
    redactor.filter(|redactor| redactor.rules().to.traces)
}

/// Where what models get is redacted.
fn of_provider(redactor: Option<&Arc<Redactor>>) -> Option<&Arc<Redactor>> {
    redactor.filter(|redactor| redactor.rules().to.provider)
}

impl RunDriver<'_> {
    /// Fails where the role's rules were changed since the run's redactor was made: nothing is written by others.
    pub(super) fn check_rules(&self, profile: &AgentProfile) -> Result<(), RunError> {
        let (of_run, now) = (self.redactor.as_deref(), profile.redact.as_deref());
        match (of_run.map(Redactor::rules), now) {
            (None, None) => Ok(()),
            (Some(rules), Some(now)) if std::ptr::eq(rules, now) => Ok(()),
            _ => Err(RunError::new(RunErrorKind::Internal)
                .caused_by("the rules of redaction were changed just now")),
        }
    }

    /// A text of somebody as the model gets it.
    pub(super) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match of_provider(self.redactor.as_ref()) {
            Some(redactor) => redactor.redact(text),
            None => Cow::Borrowed(text),
        }
    }

    /// Earlier turns as the model gets them.
    pub(super) fn redact_turns(&self, mut turns: Vec<Message>) -> Vec<Message> {
        let Some(redactor) = of_provider(self.redactor.as_ref()) else { return turns };
        for turn in &mut turns {
            match turn {
                Message::System { content } | Message::User { content, .. } => {
                    put(content, |text| redactor.redact(text));
                }
                Message::Tool { content, .. } => put(content, |text| redactor.redact_answer(text)),
                Message::Assistant(turn) => {
                    put(&mut turn.text, |text| redactor.redact(text));
                    for call in &mut turn.tool_calls {
                        redactor.redact_value(&mut call.arguments);
                    }
                }
            }
        }
        turns
    }
}

/// Puts what is made of a text in its place.
fn put(text: &mut String, change: impl for<'t> FnOnce(&'t str) -> Cow<'t, str>) {
    if let Cow::Owned(changed) = change(text) {
        *text = changed;
    }
}

impl RunContext<'_> {
    /// Where a model is to get less than earlier attempts have recorded: rules may have been added since.
    fn of_recorded(&self) -> Option<&Arc<Redactor>> {
        self.for_model().filter(|_| self.journal.has_steps())
    }

    /// A recorded text as the model gets it by the rules of now.
    pub(super) fn redact_again(&self, text: &mut String) {
        if let Some(redactor) = self.of_recorded() {
            put(text, |text| redactor.redact_again(text));
        }
    }

    /// A recorded turn of a model, likewise. Returns its calls as they were recorded.
    pub(super) fn redact_turn_again(&self, turn: &mut AssistantMessage) -> Vec<ToolCall> {
        let Some(redactor) = self.of_recorded() else { return Vec::new() };
        let recorded = turn.tool_calls.clone();
        put(&mut turn.text, |text| redactor.redact_again(text));
        for call in &mut turn.tool_calls {
            redactor.redact_value_again(&mut call.arguments);
        }
        recorded
    }

    /// Recorded turns, likewise.
    pub(super) fn redact_turns_again(&self, turns: &mut [Message]) {
        if self.of_recorded().is_none() {
            return;
        }
        for turn in turns {
            match turn {
                Message::System { content }
                | Message::User { content, .. }
                | Message::Tool { content, .. } => self.redact_again(content),
                Message::Assistant(turn) => drop(self.redact_turn_again(turn)),
            }
        }
    }
}

impl RunContext<'_> {
    /// Where what the model gets is redacted.
    pub(super) fn for_model(&self) -> Option<&Arc<Redactor>> {
        of_provider(self.redactor.as_ref())
    }

    /// A text for logs and traces.
    pub(super) fn logged<'t>(&self, text: &'t str) -> Cow<'t, str> {
        logged(self.redactor.as_ref(), text)
    }

    /// What the system prompt says of the reply's schema: a caller's may hold values, as a role's does not.
    pub(super) fn schema_told(&self, output: &OutputFormat) -> String {
        let told = Typed::instruction(output);
        match self.for_model().filter(|_| !output.fixed) {
            Some(redactor) => redactor.redact(&told).into_owned(),
            None => told,
        }
    }

    /// The schema that the model's provider gets, likewise.
    pub(super) fn schema_wanted(&self, typed: &Typed) -> Arc<ResponseSchema> {
        let Some(redactor) = self.for_model().filter(|_| !typed.fixed) else {
            return typed.wanted.clone();
        };
        let mut schema = typed.wanted.schema.clone();
        match redactor.redact_value(&mut schema) {
            true => Arc::new(ResponseSchema::new(&typed.wanted.name, schema)),
            false => typed.wanted.clone(),
        }
    }

    /// Where values come back.
    pub(super) fn gives_back(&self) -> Option<&Arc<Redactor>> {
        self.redactor.as_ref().filter(|redactor| redactor.restores())
    }

    /// What the model has said as people get it; of a reply that `is_json`, likewise.
    pub(super) fn shown<'t>(&self, text: &'t str, is_json: bool) -> Cow<'t, str> {
        match self.gives_back() {
            Some(redactor) => redactor.restore_as(text, is_json),
            None => Cow::Borrowed(text),
        }
    }

    /// Calls as they are made; `made` counts those of the run. Two that differed only in placeholders of one value are
    /// equal then, and the later one is the next of its kind. Those that were `recorded` are made as they were, whatever
    /// the model gets of them by now.
    pub(super) fn restored<'c>(
        &self,
        calls: &'c [PlannedCall],
        recorded: &[ToolCall],
        made: &mut HashMap<String, u32>,
    ) -> Cow<'c, [PlannedCall]> {
        let redactor = self.gives_back();
        if redactor.is_none() && recorded.is_empty() {
            return Cow::Borrowed(calls);
        }
        let mut calls = calls.to_vec();
        let mut recorded = recorded.iter();
        for PlannedCall { call, nth } in &mut calls {
            if let Some(recorded) = recorded.next() {
                call.arguments.clone_from(&recorded.arguments);
            }
            let before = call.arguments.clone();
            // What it reads has placeholders.
            let redactor = redactor.filter(|_| call.name != READ_RESULT);
            if redactor.is_some_and(|redactor| redactor.restore_value(&mut call.arguments))
                && let Some(schema) = self.tools.parameters(&call.name)
            {
                Wanted::of(schema).again(&before, &mut call.arguments, schema);
            }
            let many = made.entry(identity(call)).or_default();
            *many += 1;
            *nth = *many;
        }
        Cow::Owned(calls)
    }

    /// Texts about the model's words, as it gets them.
    pub(super) fn redact_all(&self, texts: Vec<String>) -> Vec<String> {
        match self.for_model() {
            Some(redactor) => texts.iter().map(|text| redactor.redact(text).into_owned()).collect(),
            None => texts,
        }
    }

    /// A file under the name that the model gets.
    pub(super) fn named<'f>(&self, file: &'f KnownFile) -> Cow<'f, KnownFile> {
        let name = self.for_model().map(|redactor| redactor.redact(&file.name));
        match name {
            Some(Cow::Owned(name)) => Cow::Owned(KnownFile { name, ..file.clone() }),
            _ => Cow::Borrowed(file),
        }
    }
}
