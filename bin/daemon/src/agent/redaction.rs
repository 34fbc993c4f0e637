//! Redaction of a run: what its model gets, what the backend keeps of it and what traces and logs have, as its role's
//! rules say (docs/SECURITY.md, "Redaction"). Where values come back, the run's tools, its reply and its readers get them.

use std::borrow::Cow;
use std::sync::Arc;

use llm::request::Message;
use mc_client::client::AgentClient;
use mc_client::journal_seal::Mask;
use mc_client::steps::KnownFile;
use serde_json::{Number, Value};
use wombat_core::agent_config::AgentProfile;
use wombat_core::redact::{RedactRules, Redactor};

use super::context::RunContext;
use super::driver::RunDriver;
use super::journal::Journal;
use crate::run::request::RunRequest;
use crate::run::state_machine::PlannedCall;
use crate::state::App;

/// The redactor of a run, where its role has anything redacted.
pub(super) fn of_run(app: &App, request: &RunRequest) -> Option<Arc<Redactor>> {
    let session = &request.session;
    let rules = app.workspaces.redact_of(&request.customer, session.role())?;
    let (key, user) = (app.settings.redact_key.clone(), session.user().as_str());
    Some(Arc::new(Redactor::new(rules, key, user)))
}

/// The redactor of a run that a case is, with the role as the case has it.
pub(super) fn of_profile(app: &App, profile: &AgentProfile, user: &str) -> Option<Arc<Redactor>> {
    let (rules, key) = (profile.redact.clone()?, app.settings.redact_key.clone());
    Some(Arc::new(Redactor::new(rules, key, user)))
}

/// The same with what earlier attempts of the run have replaced: that comes back although the rules may be others by
/// now, or none.
pub(super) fn of_journal(journal: &Journal, run: &RunDriver<'_>) -> Option<Arc<Redactor>> {
    let redactor = match &run.redactor {
        Some(redactor) => Some(redactor.clone()),
        None if journal.gives_back() => {
            let (rules, key) = (RedactRules::giving_back(), run.app.settings.redact_key.clone());
            let user = run.request.session.user().as_str();
            Some(Arc::new(Redactor::new(Arc::new(rules), key, user)))
        }
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

/// A client that writes what the rules leave of a run.
pub(super) fn masked(client: AgentClient, redactor: Option<&Arc<Redactor>>) -> AgentClient {
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
                Message::System { content }
                | Message::User { content, .. }
                | Message::Tool { content, .. } => redact_in_place(redactor, content),
                Message::Assistant(turn) => {
                    redact_in_place(redactor, &mut turn.text);
                    for call in &mut turn.tool_calls {
                        redactor.redact_value(&mut call.arguments);
                    }
                }
            }
        }
        turns
    }
}

fn redact_in_place(redactor: &Redactor, text: &mut String) {
    if let Cow::Owned(redacted) = redactor.redact(text) {
        *text = redacted;
    }
}

impl RunContext<'_> {
    /// Where what the model gets is redacted.
    pub(super) fn for_model(&self) -> Option<&Arc<Redactor>> {
        of_provider(self.redactor.as_ref())
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

    /// Calls as they are made.
    pub(super) fn restored<'c>(&self, calls: &'c [PlannedCall]) -> Cow<'c, [PlannedCall]> {
        let Some(redactor) = self.gives_back() else { return Cow::Borrowed(calls) };
        let mut calls = calls.to_vec();
        for PlannedCall { call, .. } in &mut calls {
            let before = call.arguments.clone();
            if redactor.restore_value(&mut call.arguments) {
                let schema = self.tools.parameters(&call.name);
                numbers_again(&before, &mut call.arguments, schema);
            }
        }
        Cow::Owned(calls)
    }

    /// Texts about the model's words, as it gets them.
    pub(super) fn redact_all(&self, texts: Vec<String>) -> Vec<String> {
        match self.for_model() {
            Some(redactor) => texts.iter().map(|text| redactor.mask(text).into_owned()).collect(),
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

/// Values of placeholders that stood where the schema wants a number are numbers.
fn numbers_again(before: &Value, arguments: &mut Value, schema: Option<&Value>) {
    let (Some(before), Some(fields)) = (before.as_object(), arguments.as_object_mut()) else {
        return;
    };
    for (name, value) in fields {
        let wants = schema.and_then(|schema| schema["properties"][name]["type"].as_str());
        let is_changed = before.get(name) != Some(value);
        if is_changed
            && matches!(wants, Some("integer" | "number"))
            && let Some(number) = value.as_str().and_then(|text| text.parse::<Number>().ok())
        {
            *value = Value::Number(number);
        }
    }
}
