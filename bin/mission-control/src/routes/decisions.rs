//! A person's word about a tool request: approved or denied, with other arguments, with a rule for further calls;
//! or the answer to a question.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{Decide, ToolRequest, ToolRequestKind, ToolRequestStatus};
use schemas::{Budget, Compiled, Schema};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::tool_requests::MAX_WORDS;
use super::{approval_rules, digits};
use crate::answers::{MAX_ERRORS, given};
use crate::app::App;
use crate::auth::{Agent, Tenant, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, require_short};
use crate::headers::idempotency_key;
use crate::store::approval_rules::NewRule;
use crate::store::decisions::{NO_ANSWER, Word};
use crate::store::{Misfit, Scope, StoreError, session_role};

/// How many digits of a number are told.
const MAX_DIGITS: usize = 60;

/// `edited` as it was sent: a number keeps all its digits.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    edited: Option<SentEdited<'a>>,
}

#[derive(Deserialize)]
struct SentEdited<'a> {
    #[serde(borrow)]
    arguments: &'a RawValue,
}

pub(super) async fn decide(
    State(app): State<App>,
    writer: Writer,
    Id(id): Id,
    headers: HeaderMap,
    body: Body<Decide>,
) -> Result<Json<ToolRequest>, ApiError> {
    let decision = &body.value;
    require_short(&[("note", decision.note.as_deref(), MAX_WORDS)])?;
    if let Tenant::Agent(agent) = &writer.tenant {
        agent_may(&app, agent, &id, decision).await?;
    }
    let edited = match &decision.edited {
        None => None,
        Some(_) => {
            let sent: Sent<'_> = serde_json::from_slice(&body.bytes)
                .map_err(|_| ApiError::field("edited.arguments", "must be given once"))?;
            sent.edited.map(|edited| edited.arguments.get())
        }
    };
    let sent = canonical_json(&body.raw);
    let key = idempotency_key(&headers);
    Ok(Json(settle(&app, writer.scope(), &id, decision, edited, key, &sent).await?))
}

/// Decides, where the decision fits what was asked. `edited` is the text of other arguments, `sent` all of the
/// decision in canonical form.
pub(crate) async fn settle(
    app: &App,
    scope: Scope<'_>,
    id: &str,
    decision: &Decide,
    edited: Option<&str>,
    key: Option<&str>,
    sent: &str,
) -> Result<ToolRequest, ApiError> {
    app.store.expire_before_reading().await;
    let request = app.store.tool_request(scope, id).await?;
    if request.known_status() != Some(ToolRequestStatus::Pending) {
        return Ok(app.store.settled(scope, id, key, sent).await?);
    }
    let is_exact = match edited {
        Some(_) => {
            digits::lost(&app.store.waiting_one(scope.user_id, id).await?.arguments).is_none()
        }
        None => true,
    };
    let mut fitting = fit(scope.user_id, &request, decision, edited).await?;
    // What is written in full is not what was asked for, where that cannot be read in full.
    fitting.is_edited |= edited.is_some() && !is_exact;
    let word = Word {
        status: fitting.status,
        note: decision.note.as_deref(),
        edited: edited.filter(|_| fitting.is_edited),
        answer: fitting.answer.as_ref(),
        rule: fitting.rule,
        key,
        body: sent,
    };
    Ok(app.store.settle(scope, id, &word, app.config.rules_per_user).await?)
}

/// An agent may answer the questions of its own session, with what its person has said to it, and nothing else.
async fn agent_may(app: &App, agent: &Agent, id: &str, decision: &Decide) -> Result<(), ApiError> {
    let request = app.store.tool_request(agent.scope(), id).await?;
    let is_own = session_role(&agent.user_id, &request.session_key) == Some(&*agent.role);
    if request.kind != ToolRequestKind::Question || !is_own {
        return Err(ApiError::forbidden(
            "only a person may decide this; an agent may answer the questions of its own session",
        ));
    }
    let only_answers = Decide { answer: decision.answer.clone(), ..Decide::default() };
    if decision.answer.is_none() || *decision != only_answers {
        return Err(ApiError::forbidden("an agent may give an answer, and nothing beside it"));
    }
    Ok(())
}

/// A decision that fits.
struct Fitting {
    status: ToolRequestStatus,
    is_edited: bool,
    answer: Option<Value>,
    rule: Option<NewRule>,
}

impl Fitting {
    fn new(status: ToolRequestStatus) -> Self {
        Self { status, is_edited: false, answer: None, rule: None }
    }
}

fn misfit(what: Misfit, errors: Vec<String>) -> ApiError {
    StoreError::Mismatch { what, errors }.into()
}

async fn fit(
    user_id: &str,
    request: &ToolRequest,
    decision: &Decide,
    edited: Option<&str>,
) -> Result<Fitting, ApiError> {
    match request.kind {
        ToolRequestKind::Question => fit_question(request, decision).await,
        ToolRequestKind::Approval => fit_approval(user_id, request, decision, edited).await,
    }
}

async fn fit_question(request: &ToolRequest, decision: &Decide) -> Result<Fitting, ApiError> {
    for (name, is_given) in
        [("edited", decision.edited.is_some()), ("rule", decision.rule.is_some())]
    {
        if is_given {
            return Err(ApiError::field(name, "is for a call to approve, and this is a question"));
        }
    }
    let answer = match (&decision.answer, decision.status) {
        (None | Some(Value::Null), Some(ToolRequestStatus::Denied)) => {
            return Ok(Fitting::new(ToolRequestStatus::Denied));
        }
        (Some(answer), None | Some(ToolRequestStatus::Answered)) => answer,
        (Some(_), Some(_)) => {
            return Err(ApiError::field("status", "cannot be beside an answer: leave it out"));
        }
        (None, Some(_) | None) => {
            return Err(misfit(Misfit::Answer, vec![NO_ANSWER.to_owned()]));
        }
    };
    let Some(question) = request.question() else { return Err(ApiError::internal()) };
    let answer = given(&question, answer).await.map_err(|errors| misfit(Misfit::Answer, errors))?;
    Ok(Fitting { answer: Some(answer), ..Fitting::new(ToolRequestStatus::Answered) })
}

async fn fit_approval(
    user_id: &str,
    request: &ToolRequest,
    decision: &Decide,
    edited: Option<&str>,
) -> Result<Fitting, ApiError> {
    // Some clients write what they leave out as null.
    if decision.answer.as_ref().is_some_and(|answer| !answer.is_null()) {
        let text = "this is a call to approve: send its status, approved or denied";
        return Err(misfit(Misfit::Answer, vec![text.to_owned()]));
    }
    let approves = match decision.status {
        Some(ToolRequestStatus::Approved) => true,
        Some(ToolRequestStatus::Denied) => false,
        Some(_) | None => return Err(ApiError::field("status", "must be approved or denied")),
    };
    if !approves {
        for (name, is_given) in
            [("edited", decision.edited.is_some()), ("rule", decision.rule.is_some())]
        {
            if is_given {
                return Err(ApiError::field(name, "is for a call that is approved"));
            }
        }
        return Ok(Fitting::new(ToolRequestStatus::Denied));
    }
    let is_edited = match (&decision.edited, edited) {
        (Some(edited), Some(text)) => {
            fit_arguments(request, text).await?;
            edited.arguments != request.arguments
        }
        (Some(_) | None, _) => false,
    };
    let rule = match &decision.rule {
        Some(rule) => {
            // A run below the one that waits makes its calls as its own role.
            let asker = request.asked_by.as_ref().map(|asker| asker.role.as_str());
            let role = asker.or_else(|| session_role(user_id, &request.session_key));
            Some(approval_rules::within(rule, role.unwrap_or_default(), request)?)
        }
        None => None,
    };
    Ok(Fitting { is_edited, rule, ..Fitting::new(ToolRequestStatus::Approved) })
}

/// Checks a person's arguments as the tool's schema has them.
async fn fit_arguments(request: &ToolRequest, text: &str) -> Result<(), ApiError> {
    let wrong = |errors: Vec<String>| misfit(Misfit::Arguments, errors);
    let arguments = strict_json::parse(text.as_bytes())
        .map_err(|error| wrong(vec![format!("edited.arguments: {error}")]))?;
    if let Some(number) = digits::lost(text) {
        let number: String = number.chars().take(MAX_DIGITS).collect();
        let why = format!(
            "edited.arguments: the number {number} has more digits than are kept: write fewer, or a text"
        );
        return Err(wrong(vec![why]));
    }
    let Some(parameters) = request.parameters.clone() else { return Ok(()) };
    let compiled =
        tokio::task::spawn_blocking(move || Schema::compile(&parameters, &mut Budget::default()));
    let schema = match compiled.await.map_err(|_| ApiError::internal())? {
        Ok(Compiled { schema, .. }) => Arc::new(schema),
        Err(why) => {
            let text = format!(
                "the tool's schema {why}, so that other arguments cannot be checked: approve the call as it is, or deny it"
            );
            return Err(wrong(vec![text]));
        }
    };
    schema.check(&arguments, MAX_ERRORS).await.map_err(wrong)
}
