//! `wombat-daemon eval export`: runs of the backend as cases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use evals::{
    Case, CaseFile, CaseLimits, CaseSource, CatalogueTool, Finder, Found, GivenMemory, HistoryTurn,
    Placeholders, to_yaml,
};
use mc_client::client::InternalClient;
use mc_client::profiles;
use mc_client::run_lists::{ListedRun, RunsQuery};
use mc_client::runs::{Run, RunStatus};
use mc_client::types::Capabilities;
use serde::Deserialize as _;
use serde_json::{Value, json};
use service::exit;
use service::settings::{Layers, Reader};
use service::trace::TraceId;
use wombat_core::redact::RedactRules;

use crate::agent::journal::RecordedRequest;
use crate::eval::{Export, Failed, Filters, write};
use crate::eval_expected::{answers, expected};
use crate::eval_journal::{Recorded, is_refused, turn_of};
use crate::settings::Settings;
use crate::state::App;
use crate::tools::{CaseTool, builtin_names};

/// How many runs a page has.
const PAGE: usize = 100;

/// How much of a run's key is a part of a case's id.
const KEY_CHARS: usize = 10;

/// The feature without which there is no list of runs.
const FEATURE: &str = "runs_list";

/// The backend as a service sees it, and the tools that there are.
pub(crate) struct Source {
    app: App,
    client: InternalClient,
    capabilities: Arc<Capabilities>,
}

/// A run with whose it is.
pub(crate) struct FoundRun {
    pub(crate) user: String,
    pub(crate) role: String,
    pub(crate) run: Run,
}

impl Source {
    /// Connects to the backend.
    ///
    /// # Errors
    /// When a setting is missing, or the backend has no list of runs.
    pub(crate) async fn connect(layers: &Layers) -> Result<Self, Failed> {
        let settings = Settings::read(layers).map_err(Failed::settings)?;
        let token = Reader::new(layers).secret("INTERNAL_API_TOKEN").ok_or_else(|| {
            Failed::settings("INTERNAL_API_TOKEN is not set: runs are read with the internal token")
        })?;
        let http = service::http::client_builder().build();
        let http = http.map_err(|error| Failed::new(service::http::explain(&error)))?;
        let client = settings.backend.client(http, settings.backend_retry).internal(token);
        let app = App::new(settings).map_err(|error| Failed::settings(error.to_string()))?;
        let capabilities = app.backend.capabilities(&TraceId::random().traceparent()).await;
        let capabilities = capabilities
            .map_err(|error| Failed::new(format!("the backend cannot be asked: {error}")))?;
        if !capabilities.has(FEATURE) {
            let why = format!("feature_missing: the backend does not announce {FEATURE}");
            return Err(Failed::new(why));
        }
        Ok(Self { app, client, capabilities })
    }

    /// The first `most` of the runs that these filters find, newest first, and that are wanted.
    async fn list(
        &self,
        filters: &Filters,
        key: Option<&str>,
        most: usize,
        is_wanted: impl Fn(&ListedRun) -> bool,
    ) -> Result<Vec<ListedRun>, Failed> {
        let named = [
            ("user_id", &filters.user),
            ("role", &filters.role),
            ("status", &filters.status),
            ("model", &filters.model),
            ("digest", &filters.digest),
            ("rating", &filters.rating),
            ("label", &filters.label),
            ("from", &filters.from),
            ("to", &filters.to),
            ("q", &filters.q),
            // A backend that does not know it answers all runs.
            ("run_key", &key.map(str::to_owned)),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let mut parameters: Vec<(&'static str, String)> = named.collect();
        parameters.push(("limit", PAGE.to_string()));
        let fixed = parameters.len();
        let mut wanted = Vec::new();
        loop {
            let query = RunsQuery { parameters: parameters.clone() };
            let page = self.client.list_runs(&query).await;
            let page = page.map_err(|error| Failed::new(format!("GET /runs: {error}")))?;
            wanted.extend(page.items.into_iter().filter(|run| is_wanted(run)));
            match page.next_cursor {
                Some(cursor) if wanted.len() < most => {
                    parameters.truncate(fixed);
                    parameters.push(("cursor", cursor));
                }
                _ => {
                    wanted.truncate(most);
                    return Ok(wanted);
                }
            }
        }
    }

    /// A run with its journal.
    async fn whole(&self, listed: &ListedRun) -> Result<FoundRun, Failed> {
        let client = self.client.clone().on_behalf_of(&listed.user_id);
        let run = client.run_of(&listed.run_key, &listed.role).await;
        let key = &listed.run_key;
        let run = run.map_err(|error| Failed::new(format!("run {key}: {error}")))?;
        let run = run.ok_or_else(|| Failed::new(format!("there is no run {key} any more")))?;
        Ok(FoundRun { user: listed.user_id.clone(), role: listed.role.clone(), run })
    }

    /// The run with a key.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn run(&self, key: &str, user: Option<&str>) -> Result<FoundRun, Failed> {
        let filters = Filters { user: user.map(str::to_owned), ..Filters::default() };
        let listed = self.listed(&filters, &[key.to_owned()]).await?;
        let listed = listed.first().ok_or_else(|| not_among(key))?;
        self.whole(listed).await
    }

    /// The runs with these keys, in their order, of those that these filters find. A backend that ignores `run_key`
    /// answers the others, too, and is asked once.
    async fn listed(&self, filters: &Filters, keys: &[String]) -> Result<Vec<ListedRun>, Failed> {
        let mut missing: BTreeSet<_> = keys.iter().map(String::as_str).collect();
        let mut found = BTreeMap::new();
        for key in keys {
            if !missing.contains(&**key) {
                continue;
            }
            let is_wanted = |run: &ListedRun| missing.contains(&*run.run_key);
            let listed = self.list(filters, Some(key), missing.len(), is_wanted).await?;
            for run in listed {
                missing.remove(&*run.run_key);
                found.insert(run.run_key.clone(), run);
            }
            if missing.contains(&**key) {
                return Err(not_among(key));
            }
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }

    /// A run as a case, with all that is in it.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub(crate) async fn case(&self, found: &FoundRun) -> Result<Case, String> {
        let FoundRun { user, role, run } = found;
        if !is_over(run) {
            return Err(format!("it is {} and no case yet", run.status));
        }
        let recorded = Recorded::of(run)?;
        let request = &recorded.request;
        let profile = self.profile_of(user, role, request.profile_digest.as_deref()).await;
        let has_rules = profile.is_ok();
        if !request.attachments.is_empty() {
            warn(run, "its files are left out");
        }
        let turn = |turn| {
            let (role, content) = turn_of(turn)?;
            Some(HistoryTurn { role, content })
        };
        let memory = |memory: &mc_client::steps::RecalledMemory| GivenMemory {
            scope: memory.scope.as_str().to_owned(),
            text: memory.text.clone(),
        };
        let key: String = run.run_key.chars().take(KEY_CHARS).collect();
        Ok(Case {
            id: format!("{role}-{key}"),
            role: role.clone(),
            message: request.message.clone(),
            user: Some(user.clone()),
            history: recorded.history.iter().filter_map(turn).collect(),
            metadata: request.metadata.clone(),
            now: run.created_at,
            memories: request.memories.iter().map(memory).collect(),
            limits: self.limits(request).unwrap_or_else(|why| {
                warn(run, &why);
                None
            }),
            profile: profile.unwrap_or_else(|why| {
                warn(run, &why);
                None
            }),
            answers: answers(run, &recorded, has_rules),
            fixtures: Vec::new(),
            ignore: BTreeMap::new(),
            expect: expected(run, &recorded, self.heartbeat_ack_max())?,
            source: Some(CaseSource {
                run_key: Some(run.run_key.clone()),
                workspace_digest: run.workspace_digest.clone(),
                model: recorded.model(),
            }),
        })
    }

    /// The limits that a run was asked with, but for those that the settings have anyway.
    fn limits(&self, request: &RecordedRequest) -> Result<Option<CaseLimits>, String> {
        let settings = &self.app.settings;
        let Some(mut limits) = limits_of(&request.limits)? else { return Ok(None) };
        let longest = match request.detached {
            Some(_) => settings.background.timeout,
            None => settings.run_timeout,
        };
        limits.max_steps = limits.max_steps.filter(|steps| *steps != settings.max_steps);
        limits.timeout_secs = limits.timeout_secs.filter(|secs| *secs != longest.as_secs().max(1));
        Ok(Some(limits).filter(|limits| *limits != CaseLimits::default()))
    }

    /// The profile that a run had, where the backend still has that one.
    async fn profile_of(
        &self,
        user: &str,
        role: &str,
        digest: Option<&str>,
    ) -> Result<Option<Value>, String> {
        let Some(digest) = digest else { return Ok(None) };
        let left_out = "and is left out; which calls it had a person approve is, too";
        if !self.capabilities.has("profile") {
            return Err(format!("its profile is not known to the backend any more, {left_out}"));
        }
        let client = self.app.backend.agent(user, role).map_err(|error| error.to_string())?;
        let known = self.app.backend.profiles.get(&client, (user, role)).await;
        let known =
            known.map_err(|error| format!("its profile cannot be read, {left_out}: {error}"))?;
        let is_it = known.digest == digest
            || profiles::digest(&known.body).is_ok_and(|of_now| of_now == digest);
        match is_it {
            // An empty one narrows nothing.
            true => Ok(Some(known.body.clone()).filter(|body| *body != json!({}))),
            false => Err(format!("its profile has changed since, {left_out}")),
        }
    }

    /// The definitions of the tools that these runs had or called and that are not built in.
    pub(crate) async fn catalogue(&self, runs: &[&FoundRun]) -> Vec<CatalogueTool> {
        let mut wanted = BTreeSet::new();
        for found in runs {
            let Ok(recorded) = Recorded::of(&found.run) else { continue };
            wanted.extend(recorded.request.tools_offered.iter().cloned());
            wanted.extend(recorded.tools.iter().filter(|s| !is_refused(s)).map(|s| s.name.clone()));
        }
        for name in builtin_names() {
            wanted.remove(name);
        }
        if wanted.is_empty() {
            return Vec::new();
        }
        let snapshot = self.app.workspace.snapshot();
        let tools = self.app.tools.as_of_cases(&snapshot, &self.capabilities).await;
        let tools: Vec<_> = tools.into_iter().filter(|tool| wanted.remove(&tool.name)).collect();
        for name in wanted {
            exit::warn(&format!(
                "the tool {name:?} is not there any more, and not in the catalogue"
            ));
        }
        tools.into_iter().map(catalogue_tool).collect()
    }

    /// What finds personal data in the texts of a role.
    fn finder(&self, role: &str) -> Finder {
        let snapshot = self.app.workspace.snapshot();
        let profile = snapshot.admit(role).ok();
        let own = profile.and_then(|profile| profile.redact);
        finder(RedactRules::all_kinds(own.as_deref()))
    }

    /// What a heartbeat may say and still be silent.
    pub(crate) fn heartbeat_ack_max(&self) -> usize {
        self.app.settings.heartbeat_ack_max
    }

    /// Ends the connections of tools.
    pub(crate) async fn close(&self) {
        self.app.workspaces.close().await;
    }
}

fn finder(rules: RedactRules) -> Finder {
    Box::new(move |text| {
        let found = rules.find(text).into_iter();
        found.map(|found| Found { at: found.range, kind: found.kind.to_owned() }).collect()
    })
}

fn catalogue_tool(tool: CaseTool) -> CatalogueTool {
    let CaseTool { name, description, parameters, endpoint } = tool;
    CatalogueTool { name, description, parameters, endpoint }
}

fn warn(run: &Run, why: &str) {
    exit::warn(&format!("run {}: {why}", run.run_key));
}

/// Whether a run is a case of its own: it has ended or waits, and no other run asked for it.
fn is_case(run: &Run) -> bool {
    is_over(run) && run.parent_run_key.is_none()
}

/// Whether nobody works on a run, and nobody has stopped it.
fn is_over(run: &Run) -> bool {
    !matches!(
        run.known_status(),
        Some(RunStatus::Running | RunStatus::Interrupted | RunStatus::Cancelled)
    )
}

/// Runs the command.
pub(crate) async fn run(layers: &Layers, export: Export) -> Result<bool, Failed> {
    let source = Source::connect(layers).await?;
    let exported = file_of(&source, &export).await;
    source.close().await;
    let yaml = to_yaml(&exported?).map_err(Failed::new)?;
    match &export.out {
        Some(path) => write(path, &yaml)?,
        None => exit::say(yaml.trim_end()),
    }
    Ok(true)
}

async fn file_of(source: &Source, export: &Export) -> Result<CaseFile, Failed> {
    let listed = listed(source, export).await?;
    let mut found = Vec::new();
    for run in &listed {
        match source.whole(run).await {
            Ok(whole) => found.push(whole),
            // It was deleted meanwhile.
            Err(Failed { why, .. }) if export.runs.is_empty() => exit::warn(&why),
            Err(failed) => return Err(failed),
        }
    }
    let (mut cases, mut runs) = (Vec::new(), Vec::new());
    for found in &found {
        if export.runs.is_empty() && !is_case(&found.run) {
            continue;
        }
        match source.case(found).await {
            Ok(case) => {
                cases.push(case);
                runs.push(found);
            }
            Err(why) if export.runs.is_empty() => warn(&found.run, &why),
            Err(why) => return Err(Failed::new(format!("run {}: {why}", found.run.run_key))),
        }
    }
    if cases.is_empty() {
        return Err(Failed::new("no run was found that can be a case"));
    }
    name_apart(&mut cases);
    let catalogue = source.catalogue(&runs).await;
    let cases = if export.raw { cases } else { without_personal_data(source, cases)? };
    Ok(CaseFile { version: 1, catalogue, cases })
}

async fn listed(source: &Source, export: &Export) -> Result<Vec<ListedRun>, Failed> {
    let (filters, keys) = (&export.filters, &export.runs);
    if keys.is_empty() {
        return source.list(filters, None, filters.limit, |_| true).await;
    }
    source.listed(filters, keys).await
}

fn not_among(key: &str) -> Failed {
    Failed::new(format!("there is no run {key} among these"))
}

/// The limits of a request, where it had any.
fn limits_of(recorded: &Value) -> Result<Option<CaseLimits>, String> {
    if recorded.is_null() {
        return Ok(None);
    }
    let limits = CaseLimits::deserialize(recorded);
    limits.map(Some).map_err(|error| format!("its limits are left out: {error}"))
}

/// Gives each case an id of its own.
fn name_apart(cases: &mut [Case]) {
    let mut seen = BTreeSet::new();
    for case in cases {
        let (wanted, mut n) = (case.id.clone(), 1);
        while !seen.insert(case.id.clone()) {
            n += 1;
            case.id = format!("{wanted}-{n}");
        }
    }
}

fn without_personal_data(source: &Source, cases: Vec<Case>) -> Result<Vec<Case>, Failed> {
    let mut placeholders = Placeholders::new(source.finder(""));
    // All of them first: one user's run may name another one.
    for user in cases.iter().filter_map(|case| case.user.as_deref()) {
        placeholders.know_user(user);
    }
    let mut replaced = Vec::with_capacity(cases.len());
    for case in cases {
        placeholders.look_with(source.finder(&case.role));
        replaced.push(placeholders.case(case).map_err(Failed::new)?);
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_known_are_told() {
        assert_eq!(limits_of(&Value::Null), Ok(None));
        let known = limits_of(&json!({ "max_steps": 3 })).unwrap().unwrap();
        assert_eq!(known.max_steps, Some(3));
        let told = limits_of(&json!({ "max_steps": 3, "max_words": 5 })).unwrap_err();
        assert!(told.contains("left out") && told.contains("max_words"), "{told}");
    }

    #[test]
    fn placeholders_are_found_as_what_they_stand_for() {
        let rules = || RedactRules::all_kinds(None);
        for value in [
            "ann.lee@mail.org",
            "+49 30 12345678",
            "0041 79 123 45 67",
            "DE89 3704 0044 0532 0130 00",
            "GB82WEST12345698765432",
            "4111-1111-1111-1111",
            "378282246310005",
            "AKIAIOSFODNN7EXAMPLE",
        ] {
            let rules = rules();
            let kinds = |text: &str| -> Vec<(String, usize)> {
                let found = rules.find(text).into_iter();
                found.map(|found| (found.kind.to_owned(), found.range.len())).collect()
            };
            let mut placeholders = Placeholders::new(finder(RedactRules::all_kinds(None)));
            let shape = placeholders.text(value);
            assert_ne!(shape, value);
            let kind = kinds(value).first().map(|(kind, _)| kind.clone()).unwrap();
            assert_eq!(kinds(&shape), [(kind, shape.len())], "{value} {shape}");
            assert_eq!(placeholders.text(&format!("a {value} b")), format!("a {shape} b"));
        }
    }
}
