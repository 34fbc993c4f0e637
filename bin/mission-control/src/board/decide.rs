//! What a person says on the page to what waits: yes, yes with other arguments, yes from now on, no; or an answer.

use std::collections::HashMap;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use http::StatusCode;
use mc_client::approval_rules::CreateApprovalRule;
use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{Decide, Edited, ToolRequestStatus};
use serde_json::{Value, json};

use super::actions::{Action, action};
use super::viewer::Viewer;
use super::{approvals, markup};
use crate::answers::written;
use crate::app::App;
use crate::error::ApiError;
use crate::routes::decisions::settle;
use crate::store::waiting::Waiting;
use crate::store::{Misfit, StoreError, session_role};

/// The most characters of a note.
const MAX_NOTE: usize = 2_000;

/// A person decides a tool call, or answers a question.
pub(super) async fn decide(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, form } = action(&app, &viewer, request).await?;
    let waiting = app.store.waiting_one(&user, &id).await?;
    let (decision, edited) = read(&user, &waiting, &form).await?;
    let is_approved = decision.status == Some(ToolRequestStatus::Approved);
    if is_approved && let Some(unshown) = approvals::unshown(&waiting) {
        return Err(ApiError::new(StatusCode::CONFLICT, "not_shown_whole", unshown.why()));
    }
    let sent = canonical_json(&serde_json::to_value(&decision).unwrap_or_else(|_| json!({})));
    let edited = edited.as_deref();
    settle(&app, viewer.scope(&user), &id, &decision, edited, None, &sent).await?;
    let task = form.get("task").map(|task| task.trim()).filter(|task| !task.is_empty());
    let next = task.map_or(markup::link("/", &user), |task| markup::task_link(&user, task));
    Ok(Redirect::to(&next).into_response())
}

/// A person takes a rule back.
pub(super) async fn revoke(
    State(app): State<App>,
    viewer: Viewer,
    request: Request,
) -> Result<Response, ApiError> {
    let Action { user, id, .. } = action(&app, &viewer, request).await?;
    app.store.revoke_approval_rule(viewer.scope(&user), &id).await?;
    Ok(Redirect::to(&markup::link("/", &user)).into_response())
}

/// The decision that a form is, and the text of other arguments.
async fn read(
    user: &str,
    waiting: &Waiting,
    form: &HashMap<String, String>,
) -> Result<(Decide, Option<String>), ApiError> {
    let field = |name: &str| form.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    if let Some(option) = form.get("option") {
        let answer = Some(Value::String(option.clone()));
        return Ok((Decide { answer, ..Decide::default() }, None));
    }
    let note = field("note").map(|note| note.chars().take(MAX_NOTE).collect());
    let approved = || Decide {
        status: Some(ToolRequestStatus::Approved),
        note: note.clone(),
        ..Decide::default()
    };
    match form.get("decision").map(String::as_str) {
        Some("approved") => Ok((approved(), None)),
        Some("denied") => {
            let status = Some(ToolRequestStatus::Denied);
            Ok((Decide { status, note, ..Decide::default() }, None))
        }
        Some("edited") => {
            let text = field("arguments").unwrap_or_default().to_owned();
            let arguments = serde_json::from_str(&text).map_err(|error| {
                ApiError::field("arguments", &format!("must be a JSON object: {error}"))
            })?;
            Ok((Decide { edited: Some(Edited { arguments }), ..approved() }, Some(text)))
        }
        Some("always") => Ok((Decide { rule: Some(rule(&field)?), ..approved() }, None)),
        Some("answered") => {
            let Some(question) = waiting.question() else {
                return Err(ApiError::field("decision", "is an answer, and this is no question"));
            };
            let role = session_role(user, &waiting.session_key).unwrap_or_default();
            let answer = written(&question, role, field("answer").unwrap_or_default()).await;
            let answer =
                answer.map_err(|errors| StoreError::Mismatch { what: Misfit::Answer, errors })?;
            Ok((Decide { answer: Some(answer), ..Decide::default() }, None))
        }
        Some(_) | None => Err(ApiError::field("decision", "must be approved or denied")),
    }
}

/// The rule of a form.
fn rule<'a>(field: &impl Fn(&str) -> Option<&'a str>) -> Result<CreateApprovalRule, ApiError> {
    let when = field("when").map(|text| {
        strict_json::parse(text.as_bytes())
            .map_err(|error| ApiError::field("when", &format!("must be JSON: {error}")))
    });
    let day = field("until").and_then(|day| day.parse::<NaiveDate>().ok());
    let day = day.ok_or_else(|| ApiError::field("until", "must be a day, such as 2027-01-31"))?;
    // The whole day counts.
    let end = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
    let max_uses = field("max_uses").map(|number| {
        number.parse().map_err(|_| ApiError::field("max_uses", "must be a whole number"))
    });
    Ok(CreateApprovalRule {
        when: when.transpose()?,
        expires_at: DateTime::from_naive_utc_and_offset(day.and_time(end), Utc),
        max_uses: max_uses.transpose()?,
        ..CreateApprovalRule::default()
    })
}
