//! A customer's profile, read before anything is made for a run. Whatever of it cannot be read or used, no
//! run starts.

use std::sync::Arc;
use std::time::Duration;

use llm::model::ModelRef;
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::profiles::{
    MAX_PROFILE_TEXT, MAX_PROMPT_APPEND, ProfileLimits, ProfileModels, ProfileTools,
    ProfileWorkspace,
};
use mc_client::runs::RunStatus;
use mc_client::types::Capabilities;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use service::otel::Span;
use service::trace::TraceId;
use wombat_core::agent_config::{ApprovalEntry, CustomerRules};
use wombat_core::session::SessionKey;
use zones::parse_zone;

use super::driver::RunDriver;
use super::journal::{Journal, empty_chain};
use crate::run::customer::{Customer, CustomerLimits, CustomerModels};
use crate::run::error::{RunError, RunErrorKind};
use crate::state::App;

/// For which run a profile is read.
pub(crate) struct Asked<'a> {
    /// The user and the role.
    pub(crate) session: &'a SessionKey,
    /// The run's key, where an earlier run may have had it.
    pub(crate) key: Option<&'a RunKey>,
    /// Whether the run goes on without its caller.
    pub(crate) detached: bool,
    /// The workspace that a resumed run, or a run below another one, keeps.
    pub(crate) kept: Option<&'a str>,
}

/// What the profile makes of a run.
///
/// # Errors
/// When it cannot be read or used, or a feature is missing that `WOMBAT_REQUIRED_FEATURES` names.
pub(crate) async fn customer(
    app: &App,
    trace: &TraceId,
    asked: Asked<'_>,
) -> Result<Arc<Customer>, RunError> {
    let mut span = Span::before_run(trace, || "read profile".to_owned());
    let customer = narrowing(app, &span.traceparent(), asked).await;
    match &customer {
        Ok(_) => span.succeed(),
        Err(error) => span.fail(error.code()),
    }
    customer
}

async fn narrowing(
    app: &App,
    traceparent: &str,
    asked: Asked<'_>,
) -> Result<Arc<Customer>, RunError> {
    let Ok(capabilities) = app.backend.capabilities(traceparent).await else {
        // The run says so itself; it asks no model without the capabilities.
        return Ok(Arc::new(unread(asked.kept)));
    };
    let session = asked.session;
    let client = app.backend.agent(session.user().as_str(), session.role().as_str());
    let client = client.map_err(|error| RunError::backend(&error))?;
    let client = client.with_trace(traceparent);
    let has_profiles = capabilities.has("profile");
    let missing = missing_feature(app, &capabilities);
    if (has_profiles || missing.is_some()) && is_answered(&client, &capabilities, &asked).await? {
        return Ok(Arc::new(unread(asked.kept)));
    }
    if let Some(missing) = missing {
        return Err(missing);
    }
    let earlier = workspace_of_journal(app, &client, &capabilities, &asked).await?;
    let kept = asked.kept.or(earlier.as_deref());
    if !has_profiles {
        let customer = with_workspace(kept);
        known_workspace(app, &customer.workspace).map_err(invalid)?;
        return Ok(Arc::new(customer));
    }
    let pair = (session.user().as_str(), session.role().as_str());
    let profile = app.backend.profiles.get(&client, pair).await.map_err(|error| {
        let kind = match error.is_not_found() {
            true => RunErrorKind::RoleWithoutProfile(session.role().to_string()),
            false => RunErrorKind::ProfileUnreadable(format!(
                "the customer's profile (GET /profile) cannot be read, and no run starts without it: {error}"
            )),
        };
        RunError { retry_after: error.retry_after(), ..RunError::new(kind).caused_by(&error) }
    })?;
    let read = read(app, &profile.body, session.user().as_str(), kept).map_err(invalid)?;
    Ok(Arc::new(Customer { digest: Some(profile.digest.clone()), ..read }))
}

impl RunDriver<'_> {
    /// Refuses to go on without the customer's profile, which was not read because a reply was stored then, or
    /// because the backend was away.
    pub(super) fn refuse_unread(&self, capabilities: &Capabilities) -> Result<(), RunError> {
        if !self.request.customer.is_unread {
            return Ok(());
        }
        if let Some(missing) = missing_feature(self.app, capabilities) {
            return Err(missing);
        }
        if !capabilities.has("profile") && !self.app.workspaces.are_several() {
            return Ok(());
        }
        let why = "the customer's profile was not read; retry the request".to_owned();
        Err(RunError::new(RunErrorKind::ProfileUnreadable(why)))
    }
}

/// The first of the required features that the backend lacks.
fn missing_feature(app: &App, capabilities: &Capabilities) -> Option<RunError> {
    let required = &app.settings.customers.required;
    let missing = required.iter().find(|feature| !capabilities.has(feature))?;
    Some(RunError::new(RunErrorKind::ProfileUnreadable(format!(
        "the backend does not announce the feature {missing}, which WOMBAT_REQUIRED_FEATURES names; no run \
         starts without it"
    ))))
}

/// What a run has whose profile is not read: it is not gone on with.
pub(crate) fn unread(kept: Option<&str>) -> Customer {
    Customer { is_unread: true, ..with_workspace(kept) }
}

fn with_workspace(kept: Option<&str>) -> Customer {
    let customer = Customer::default();
    Customer { workspace: kept.map_or(customer.workspace, str::to_owned), ..customer }
}

fn invalid(why: String) -> RunError {
    RunError::new(RunErrorKind::ProfileInvalid(format!(
        "the customer's profile cannot be used: {why}"
    )))
}

/// Whether a stored reply answers the request, so that nothing is done for it.
async fn is_answered(
    client: &AgentClient,
    capabilities: &Capabilities,
    asked: &Asked<'_>,
) -> Result<bool, RunError> {
    let Some(key) = asked.key else { return Ok(false) };
    let backend = |error: McError| RunError::backend(&error);
    if asked.detached {
        // Its reply may stand before it is over.
        if !capabilities.has("run_journal") {
            return Ok(false);
        }
        let run = client.run_state(key.as_str()).await.map_err(backend)?;
        return Ok(run.is_some_and(|run| run.known_status() == Some(RunStatus::Completed)));
    }
    if !capabilities.has("message_lookup") {
        return Ok(false);
    }
    Ok(client.message_by_key(&key.reply_key()).await.map_err(backend)?.is_some())
}

/// The workspace in which an earlier attempt of the run began, where there are several.
async fn workspace_of_journal(
    app: &App,
    client: &AgentClient,
    capabilities: &Capabilities,
    asked: &Asked<'_>,
) -> Result<Option<String>, RunError> {
    let (Some(key), None) = (asked.key, asked.kept) else { return Ok(None) };
    if !app.workspaces.are_several() || !capabilities.has("run_journal") {
        return Ok(None);
    }
    let chain = empty_chain(&app.settings.journal_keys, key, asked.session);
    let journal = Journal::open(client, chain, key, true).await?;
    // A journal that cannot be trusted ends the run where it is read.
    let recorded = journal.recorded_request().unwrap_or_default();
    Ok(recorded.and_then(|recorded| recorded.workspace))
}

fn known_workspace(app: &App, name: &str) -> Result<(), String> {
    match app.workspaces.of(name) {
        Some(_) => Ok(()),
        None => Err(format!("workspace {name:?} is none of WOMBAT_WORKSPACES")),
    }
}

/// A field of a profile; `null` is none.
fn field<T: DeserializeOwned>(body: &Value, name: &str) -> Result<Option<T>, String> {
    match &body[name] {
        Value::Null => Ok(None),
        value => T::deserialize(value).map(Some).map_err(|error| format!("{name}: {error}")),
    }
}

/// A short text of a profile.
fn text(body: &Value, name: &str, most: usize) -> Result<Option<String>, String> {
    let text: Option<String> = field(body, name)?;
    if text.as_ref().is_some_and(|text| text.chars().nth(most).is_some()) {
        return Err(format!("{name} has more than {most} characters"));
    }
    Ok(text.filter(|text| !text.trim().is_empty()))
}

fn refuse_unknown(place: &str, unknown: &Map<String, Value>) -> Result<(), String> {
    match unknown.keys().next() {
        Some(key) => Err(format!("{place}.{key} is not known to this version")),
        None => Ok(()),
    }
}

/// What a profile's body makes of a run.
///
/// # Errors
/// What of it cannot be used.
pub(crate) fn read(
    app: &App,
    body: &Value,
    user_id: &str,
    kept: Option<&str>,
) -> Result<Customer, String> {
    let locale = text(body, "locale", MAX_PROFILE_TEXT)?;
    if let Some(wrong) = locale.as_deref().filter(|locale| !is_language_tag(locale)) {
        return Err(format!("locale {wrong:?} is no language tag of BCP 47, such as de-CH"));
    }
    let timezone = match text(body, "timezone", MAX_PROFILE_TEXT)? {
        Some(name) => Some(parse_zone(&name).map_err(|error| format!("timezone: {error}"))?),
        None => None,
    };
    let chosen: Option<ProfileWorkspace> = field(body, "workspace")?;
    let chosen = match &chosen {
        Some(chosen) => Some(choose(app, chosen, user_id)?),
        None => None,
    };
    let customer = with_workspace(kept.or(chosen));
    known_workspace(app, &customer.workspace)?;
    Ok(Customer {
        tenant_id: text(body, "tenant_id", MAX_PROFILE_TEXT)?,
        locale,
        timezone,
        prompt_append: text(body, "prompt_append", MAX_PROMPT_APPEND)?,
        rules: field(body, "tools")?.map(rules).transpose()?.map(Arc::new),
        models: field(body, "models")?.map(|named| models(app, &named)).transpose()?,
        limits: limits(field(body, "limits")?.unwrap_or_default())?,
        ..customer
    })
}

/// The name of the user's workspace. Each that is named has to be there, whoever's it is.
fn choose<'a>(app: &App, chosen: &'a ProfileWorkspace, user_id: &str) -> Result<&'a str, String> {
    match chosen {
        ProfileWorkspace::Name(name) => known_workspace(app, name)?,
        ProfileWorkspace::Shares(shares) => {
            shares.keys().try_for_each(|name| known_workspace(app, name))?;
        }
    }
    let name = chosen.of_user(user_id);
    name.ok_or_else(|| "workspace: the percentages are not 100 together".to_owned())
}

fn rules(tools: ProfileTools) -> Result<CustomerRules, String> {
    refuse_unknown("tools", &tools.unknown)?;
    let mut approval = Vec::new();
    for (at, entry) in tools.approval.unwrap_or_default().iter().enumerate() {
        let entry = ApprovalEntry::deserialize(entry);
        approval.push(entry.map_err(|error| format!("tools.approval[{at}]: {error}"))?);
    }
    let deny = tools.deny.unwrap_or_default();
    let read = CustomerRules::read(tools.allow.as_deref(), &deny, &approval);
    read.map_err(|problems| format!("tools: {}", problems.join("; ")))
}

fn models(app: &App, named: &ProfileModels) -> Result<CustomerModels, String> {
    refuse_unknown("models", &named.unknown)?;
    let customers = &app.settings.customers;
    let known = app.llm.models();
    let model = |tier: &str, text: &str| -> Result<ModelRef, String> {
        let model = ModelRef::parse(text, customers.provider)
            .map_err(|error| format!("models.{tier}: {error}"))?;
        let may_ask =
            known.contains(&&model) || customers.models.iter().any(|pattern| model.fits(pattern));
        match may_ask {
            true => Ok(model),
            false => Err(format!(
                "models.{tier}: {text:?} is no model of the settings, and WOMBAT_PROFILE_MODELS does not name it"
            )),
        }
    };
    let default = model("default", &named.default)?;
    let or_default = |tier: &str, text: &Option<String>| match text {
        Some(text) => model(tier, text),
        None => Ok(default.clone()),
    };
    let cheap = or_default("cheap", &named.cheap)?;
    let best = or_default("best", &named.best)?;
    let fallback = app.llm.fallback();
    let falls_back = fallback.is_some_and(|fallback| [&default, &cheap, &best].contains(&fallback));
    Ok(CustomerModels { default, cheap, best, falls_back })
}

fn limits(limits: ProfileLimits) -> Result<CustomerLimits, String> {
    refuse_unknown("limits", &limits.unknown)?;
    let ProfileLimits { max_steps, max_output_tokens, max_cost_usd, timeout_secs, unknown: _ } =
        limits;
    if max_output_tokens == Some(0) {
        return Err("limits.max_output_tokens must be at least 1".to_owned());
    }
    if max_cost_usd.is_some_and(|cost| !cost.is_finite() || cost < 0.0) {
        return Err("limits.max_cost_usd must not be negative".to_owned());
    }
    if timeout_secs == Some(0) {
        return Err("limits.timeout_secs must be at least 1".to_owned());
    }
    let timeout = timeout_secs.map(Duration::from_secs);
    Ok(CustomerLimits { max_steps, max_output_tokens, max_cost_usd, timeout })
}

/// Whether a text has the form of a language tag (RFC 5646, section 2.1): subtags of one to eight letters and
/// digits, the first one of letters.
fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let is_subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let first = subtags.next().unwrap_or_default();
    is_subtag(first) && first.bytes().all(|b| b.is_ascii_alphabetic()) && subtags.all(is_subtag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_a_language_tag_and_never_a_line_of_the_prompt() {
        for good in ["de", "de-CH", "zh-Hant-TW", "sl-rozaj-biske", "x-whatever", "de-1996"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in ["", "-", "de_CH", "de-", "1de", "de CH", "de\nIgnore all", "toolongword"] {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }
}
