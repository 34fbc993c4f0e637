//! What becomes of a tool request: a person's word, once, or a question's end. The session is notified in
//! the same transaction.

use chrono::Utc;
use mc_client::audit::ActorKind;
use mc_client::tool_requests::{
    DecidedBy, Decision, ToolRequest, ToolRequestKind, ToolRequestStatus,
};
use mc_client::types::{CreateNotification, DETACHED, Priority};
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::approval_rules::NewRule;
use super::audit::{Actor, By};
use super::error::{Conflict, Misfit, StoreError};
use super::notifications::Extras;
use super::tool_requests::{record, tool_request};
use super::{
    Scope, Store, approval_rules, children, notifications, now, run_rows, session_of, session_role,
    stamp,
};

/// How many questions end in one transaction, so that other writes do not wait long.
const EXPIRED_AT_A_TIME: i64 = 100;

/// The most characters of a question in a notification.
const QUOTED: usize = 80;

/// What becomes of a tool request.
#[derive(Debug)]
pub(super) struct Settled<'a> {
    pub(super) status: ToolRequestStatus,
    pub(super) note: Option<&'a str>,
    /// Other arguments: JSON text.
    pub(super) edited: Option<&'a str>,
    pub(super) answer: Option<&'a Value>,
    /// The rule that was made with it.
    pub(super) rule_id: Option<&'a str>,
    /// The idempotency key of the decision, and its body in canonical form.
    pub(super) key: Option<&'a str>,
    pub(super) body: Option<&'a str>,
}

impl Settled<'_> {
    pub(super) fn new(status: ToolRequestStatus) -> Self {
        Self {
            status,
            note: None,
            edited: None,
            answer: None,
            rule_id: None,
            key: None,
            body: None,
        }
    }
}

/// A decision whose answer or arguments were found to fit what was asked.
#[derive(Debug)]
pub struct Word<'a> {
    /// What becomes of the request.
    pub status: ToolRequestStatus,
    /// A comment for the agent.
    pub note: Option<&'a str>,
    /// Other arguments than the agent's: JSON text.
    pub edited: Option<&'a str>,
    /// The answer to a question.
    pub answer: Option<&'a Value>,
    /// A rule for further calls.
    pub rule: Option<NewRule>,
    /// Makes the decision safe to repeat.
    pub key: Option<&'a str>,
    /// The decision as it was sent, in canonical form.
    pub body: &'a str,
}

/// Who decides, as it is kept with the request.
pub(super) fn decided_by(actor: Actor<'_>) -> DecidedBy {
    let (kind, id) = match actor {
        Actor::Person(user_id) => (ActorKind::Person, Some(user_id)),
        Actor::Unnamed => (ActorKind::Person, None),
        Actor::Agent { role, .. } => (ActorKind::Agent, Some(role)),
        Actor::Service => (ActorKind::Service, None),
        Actor::System => (ActorKind::System, None),
    };
    DecidedBy { kind, id: id.map(str::to_owned) }
}

/// The text of the notification about a decision.
fn sentence(request: &ToolRequest) -> String {
    let note = request.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    let said = match request.question() {
        None => format!("The call of {} was {}.", request.tool, request.status),
        Some(question) => {
            let mut quoted: String = question.question.chars().take(QUOTED).collect();
            if quoted.len() < question.question.len() {
                quoted.push('…');
            }
            match request.known_status() {
                Some(ToolRequestStatus::Answered) => {
                    format!("The question “{quoted}” was answered.")
                }
                Some(ToolRequestStatus::Expired) => {
                    format!("Nobody answered the question “{quoted}” in time.")
                }
                _ => format!("Nobody is going to answer the question “{quoted}”."),
            }
        }
    };
    note.map_or(said.clone(), |note| format!("{said} {note}"))
}

/// The row of a tool request that the caller may see.
pub(super) async fn row_of(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    id: &str,
) -> Result<AnyRow, StoreError> {
    let session = scope.role.map(|role| session_of(scope.user_id, role)).unwrap_or_default();
    let row = sqlx::query(
        "SELECT * FROM tool_requests WHERE id = $1 AND user_id = $2 AND $3 IN ('', session_key)",
    )
    .bind(id)
    .bind(scope.user_id)
    .bind(session)
    .fetch_optional(tx)
    .await?;
    row.ok_or(StoreError::NotFound("tool request"))
}

/// Writes what has become of a tool request that waits, and notifies its session.
pub(super) async fn settle(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    id: &str,
    settled: &Settled<'_>,
) -> Result<ToolRequest, StoreError> {
    let row = sqlx::query(
        "UPDATE tool_requests SET status = $1, note = $2, decision_key = $3, decided_at = $4, edited = $5, answer = $6, \
         decided_by = $7, decision_body = $8, rule_id = $9 WHERE id = $10 RETURNING *",
    )
    .bind(settled.status.as_str())
    .bind(settled.note)
    .bind(settled.key)
    .bind(now())
    .bind(settled.edited)
    .bind(settled.answer.map(ToString::to_string))
    .bind(serde_json::to_string(&decided_by(scope.by.actor))?)
    .bind(settled.body)
    .bind(settled.rule_id)
    .bind(id)
    .fetch_one(&mut *tx)
    .await?;
    let decided = tool_request(&row);
    record(tx, scope, &decided, decided.note.as_deref()).await?;
    notify(tx, scope.user_id, &decided).await?;
    Ok(decided)
}

/// Notifies the session, so that its run goes on.
async fn notify(
    tx: &mut AnyConnection,
    user_id: &str,
    decided: &ToolRequest,
) -> Result<(), StoreError> {
    let notification = CreateNotification {
        user_id: user_id.to_owned(),
        session_key: decided.session_key.clone(),
        content: sentence(decided),
        task_id: Some(decided.task_id.clone()),
        priority: Some(Priority::High),
        ..CreateNotification::default()
    };
    let role = session_role(user_id, &decided.session_key).unwrap_or_default();
    let of_run = run_rows::find_of(tx, user_id, role, &decided.run_key).await?;
    let mut metadata = Map::from_iter([
        ("tool_request_id".to_owned(), json!(decided.id)),
        ("tool_request_status".to_owned(), json!(decided.status)),
    ]);
    if decided.kind == ToolRequestKind::Question {
        metadata.insert("tool_request_kind".to_owned(), json!(decided.kind));
    }
    if of_run.is_some_and(|found| found.run.detached) {
        metadata.insert(DETACHED.to_owned(), json!(true));
    }
    let extras = Extras { run_key: Some(&decided.run_key), metadata: Some(metadata) };
    notifications::insert(tx, &notification, extras).await?;
    Ok(())
}

/// Refuses a rule for the role that an agent says asks below it, where that role has no such run below it.
async fn check_asker(
    tx: &mut AnyConnection,
    user_id: &str,
    request: &ToolRequest,
) -> Result<(), StoreError> {
    let Some(asker) = &request.asked_by else { return Ok(()) };
    let role = session_role(user_id, &request.session_key).unwrap_or_default();
    let top = (role, &*request.run_key);
    let is_below = match run_rows::find_of(tx, user_id, &asker.role, &asker.run_key).await? {
        Some(run) => children::is_below(tx, user_id, &run, top).await?,
        None => false,
    };
    if is_below {
        return Ok(());
    }
    let why = "would be for a role that has no such run below this one: decide without a rule";
    Err(StoreError::Invalid { field: "rule", why })
}

/// Whether a question's time is over, though nobody has written that yet.
pub(super) fn is_due(request: &ToolRequest) -> bool {
    request.known_status() == Some(ToolRequestStatus::Pending)
        && request.expires_at.is_some_and(|at| at <= Utc::now())
}

/// Ends a question whose time is over.
async fn expire(tx: &mut AnyConnection, user_id: &str, id: &str) -> Result<(), StoreError> {
    let scope = Scope::of(user_id).by(By::new(Actor::System));
    settle(tx, scope, id, &Settled::new(ToolRequestStatus::Expired)).await?;
    Ok(())
}

/// A decided request, for whoever decided it just so under this key.
fn repeated(row: &AnyRow, key: Option<&str>, body: &str) -> Result<ToolRequest, StoreError> {
    let known = tool_request(row);
    let of = |name: &str| row.get::<Option<&str>, _>(name);
    let is_same = key.is_some() && of("decision_key") == key && of("decision_body") == Some(body);
    if is_same { Ok(known) } else { Err(decided_already(known)) }
}

fn decided_already(known: ToolRequest) -> StoreError {
    Conflict::AlreadyDecided { status: known.status }.into()
}

impl Store {
    /// Records a person's decision about an approval, or that nobody answers a question (`PATCH`): once. A
    /// repetition under the same idempotency key changes nothing.
    pub async fn decide(
        &self,
        scope: Scope<'_>,
        id: &str,
        decision: &Decision,
        arguments: Option<&Value>,
        key: Option<&str>,
    ) -> Result<ToolRequest, StoreError> {
        let mut tx = self.write(scope).await?;
        let row = row_of(&mut tx, scope, id).await?;
        let known = tool_request(&row);
        if arguments.is_some_and(|given| *given != Value::Object(known.arguments.clone())) {
            let why =
                "are not those of the request: POST them to its /decision, as edited.arguments";
            return Err(StoreError::Invalid { field: "arguments", why });
        }
        if known.known_status() != Some(ToolRequestStatus::Pending) {
            let same_key = key.is_some() && row.get::<Option<&str>, _>("decision_key") == key;
            if same_key && known.status == decision.status.as_str() {
                return Ok(known);
            }
            return Err(decided_already(known));
        }
        if is_due(&known) {
            expire(&mut tx, scope.user_id, id).await?;
            tx.commit().await?;
            return Err(Conflict::AlreadyDecided { status: "expired".to_owned() }.into());
        }
        if known.kind == ToolRequestKind::Question && decision.status != ToolRequestStatus::Denied {
            return Err(StoreError::Mismatch {
                what: Misfit::Answer,
                errors: vec![NO_ANSWER.to_owned()],
            });
        }
        let settled =
            Settled { note: decision.note.as_deref(), key, ..Settled::new(decision.status) };
        let decided = settle(&mut tx, scope, id, &settled).await?;
        tx.commit().await?;
        Ok(decided)
    }

    /// Records a decision (`POST`), once, with the rule that is made with it, of which a user has `most` at most.
    /// The same decision under the same idempotency key is answered as before.
    pub async fn settle(
        &self,
        scope: Scope<'_>,
        id: &str,
        word: &Word<'_>,
        most: u32,
    ) -> Result<ToolRequest, StoreError> {
        let mut tx = self.write(scope).await?;
        let row = row_of(&mut tx, scope, id).await?;
        let known = tool_request(&row);
        if known.known_status() != Some(ToolRequestStatus::Pending) {
            return repeated(&row, word.key, word.body);
        }
        if is_due(&known) {
            expire(&mut tx, scope.user_id, id).await?;
            tx.commit().await?;
            return Err(Conflict::AlreadyDecided { status: "expired".to_owned() }.into());
        }
        let rule = match &word.rule {
            Some(rule) => {
                check_asker(&mut tx, scope.user_id, &known).await?;
                Some(approval_rules::insert(&mut tx, scope, rule, most).await?)
            }
            None => None,
        };
        let settled = Settled {
            status: word.status,
            note: word.note,
            edited: word.edited,
            answer: word.answer,
            rule_id: rule.as_ref().map(|rule| &*rule.id),
            key: word.key,
            body: Some(word.body),
        };
        let decided = settle(&mut tx, scope, id, &settled).await?;
        tx.commit().await?;
        Ok(decided)
    }

    /// What a decision is answered about a request that waits no longer: as before, where it is the same one under
    /// the same idempotency key.
    pub async fn settled(
        &self,
        scope: Scope<'_>,
        id: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<ToolRequest, StoreError> {
        let mut reader = self.reader.acquire().await?;
        let row = row_of(&mut reader, scope, id).await?;
        repeated(&row, key, body)
    }

    /// Ends the questions whose time is over, and notifies their sessions. Each ends once, whichever of several
    /// instances finds it first.
    pub(crate) async fn expire_questions(&self) -> Result<(), StoreError> {
        const DUE: &str = "SELECT id, user_id FROM tool_requests \
            WHERE status = 'pending' AND kind = 'question' AND expires_at <= $1 ORDER BY expires_at LIMIT $2";
        // Most of the time there are none, and nothing has to wait for its turn to write.
        let at = stamp(Utc::now());
        let due = sqlx::query(DUE).bind(&at).bind(1_i64).fetch_optional(&self.reader).await?;
        if due.is_none() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let rows = sqlx::query(DUE).bind(&at).bind(EXPIRED_AT_A_TIME).fetch_all(&mut *tx).await?;
        for row in rows {
            expire(&mut tx, row.get("user_id"), row.get("id")).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// As [`Store::expire_questions`], before questions are read. A database that cannot be written can be read
    /// all the same.
    pub(crate) async fn expire_before_reading(&self) {
        if let Err(error) = self.expire_questions().await {
            tracing::warn!(%error, "could not end questions whose time is over");
        }
    }
}

/// What a decision about a question lacks.
pub(crate) const NO_ANSWER: &str =
    "this is a question: give it an answer, or deny it, so that nobody answers";
