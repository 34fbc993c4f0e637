//! A run that is requested over another protocol (A2A, AG-UI, OpenAI, MCP), validated into a
//! [`RunRequest`] by the same rules, scope and limits as `POST /api/agents/send`.

use std::collections::BTreeMap;
use std::time::SystemTime;

use llm::request::Message;
use serde_json::{Map, Value};
use service::trace::TraceId;
use wombat_core::agent_config::AgentProfile;
use wombat_core::session::{Role, SessionKey, UserId};
use wombat_core::workspace::AgentReport;

use super::attachments::{self, GivenFile};
use super::error::ApiError;
use super::extract::{Place, check_rest};
use super::options::{narrow, read_limits, read_options};
use super::send::MAX_KEY_BYTES;
use super::{output, resume};
use crate::agent::customers::{self, Asked};
use crate::agent::file_resolve::{Bring, resolve};
use crate::run::customer::Customer;
use crate::run::error::RunError;
use crate::run::request::{KeySpace, RunRequest, TaskTarget};
use crate::state::App;

/// The task's title when neither the request nor `WOMBAT_DEFAULT_TASK` names one.
const CHAT_TASK: &str = "Chat";

/// A run as a protocol's client requested it, not validated yet.
#[derive(Debug, Default)]
pub(super) struct ProtocolRequest {
    /// The tenant.
    pub user: String,
    /// The field or header of the request that names the user, for errors.
    pub user_field: &'static str,
    /// The protocol, whose idempotency keys are a name space of their own.
    pub key_space: KeySpace,
    /// The agent.
    pub role: String,
    /// The user's message.
    pub message: String,
    /// Earlier turns; `None` loads the task's thread.
    pub history: Option<Vec<Message>>,
    /// Data of the application, after the history: fenced.
    pub context: Option<String>,
    /// The task's id.
    pub task_id: Option<String>,
    /// The title of a task to find or create, used when there is no id.
    pub task_title: Option<String>,
    /// The metadata of a task that is created.
    pub task_metadata: Option<Map<String, Value>>,
    /// The caller's idempotency key.
    pub key: Option<String>,
    /// The key of a run to resume.
    pub resume: Option<String>,
    /// Answers to its questions, by the ids of their requests.
    pub answers: Map<String, Value>,
    /// As in `send`.
    pub metadata: Map<String, Value>,
    /// Whether the run goes on when its caller leaves.
    pub detached: bool,
    /// As in `send`.
    pub limits: Map<String, Value>,
    /// `output`, as in `send`.
    pub output: Option<Value>,
    /// Files for the model, in the order of the request.
    pub attachments: Vec<GivenFile>,
    /// The length of the body, bytes; without the base64 of its files it has to be within the limit.
    pub body_bytes: usize,
    /// Held until the files are read.
    pub place: Place,
}

impl ProtocolRequest {
    /// The tenant, validated.
    ///
    /// # Errors
    /// The problem, by the name of the field.
    pub(super) fn user(&self) -> Result<UserId, BTreeMap<String, String>> {
        UserId::parse(&self.user).map_err(|error| {
            let why =
                if self.user.is_empty() { "is required".to_owned() } else { error.to_string() };
            BTreeMap::from([(self.user_field.to_owned(), why)])
        })
    }

    /// Validates everything; a resumed run is loaded from its journal.
    ///
    /// # Errors
    /// All invalid fields at once; an unknown role; a run that cannot be resumed.
    pub(super) async fn validate(
        mut self,
        app: &App,
        trace: &TraceId,
    ) -> Result<RunRequest, ApiError> {
        let mut problems = BTreeMap::new();
        check_rest(app, self.body_bytes, attachments::base64_bytes(&self.attachments))?;
        let user = self.user().map_err(|error| problems.extend(error));
        if self.key.as_ref().is_some_and(|key| key.len() > MAX_KEY_BYTES) {
            let why = format!("must have at most {MAX_KEY_BYTES} bytes");
            problems.insert("idempotency_key".to_owned(), why);
        }
        let options = read_options(app, &self.metadata, &mut problems);
        let limits = read_limits(app, &self.limits, self.detached, &mut problems);
        let given = output::read(self.output.as_ref(), &mut problems).await;
        let files = std::mem::take(&mut self.attachments);
        let files = attachments::check(&app.settings.files, files, &mut problems);
        drop(std::mem::take(&mut self.place));
        let role = known_role(app, &self.role)?;
        let (Ok(user), Some(options), true) = (user, options, problems.is_empty()) else {
            return Err(ApiError::fields("invalid_payload", problems));
        };
        let session = SessionKey::new(user, role);
        if let Some(run_key) = self.resume {
            let (detached, answers) = (self.detached, &self.answers);
            return resume::request(
                app,
                trace,
                session,
                &run_key,
                None,
                detached,
                resume::Wanted::Run(answers),
            )
            .await;
        }
        let key = self.key.map(|key| self.key_space.run_key(&session, &key));
        let detached = self.detached;
        let asked = Asked { session: &session, key: key.as_ref(), detached, kept: None };
        let customer = Box::pin(customers::customer(app, trace, asked)).await?;
        let profile = admitted(app, &customer, &self.role)?;
        let asked_limits = limits;
        let (options, limits) = narrow(&customer, &self.metadata, options, limits);
        let output = output::of_run(&profile, &options, given).await?;
        let files = files?;
        let task = self.task_id.map(TaskTarget::Id).unwrap_or_else(|| {
            let default = || app.settings.default_task.clone();
            let title = self.task_title.or_else(default).unwrap_or_else(|| CHAT_TASK.to_owned());
            TaskTarget::Title { title, description: None, metadata: self.task_metadata }
        });
        let bring = Bring { session: &session, key: key.as_ref(), detached: self.detached };
        let attachments = Box::pin(resolve(app, trace, bring, files)).await?;
        let mut history = self.history;
        if let Some(context) = self.context {
            // By the run's own key, so that a repeated request is the same one.
            let run = key.as_ref().map_or("", |key| key.as_str());
            let fenced = app.settings.fences.mark(run).fence("the application", &context);
            history.get_or_insert_default().push(Message::user(fenced));
        }
        Ok(RunRequest {
            session,
            message: self.message,
            attachments,
            history,
            task,
            output,
            options,
            metadata: self.metadata,
            webhook: None,
            key,
            resumed: false,
            detached: self.detached,
            child: None,
            customer,
            asked_limits,
            limits,
            began: SystemTime::now(),
        })
    }
}

/// A role of which a run may start.
///
/// # Errors
/// 404 for one that no workspace has; 503 when the workspace's rules cannot be used.
pub(super) fn known_role(app: &App, name: &str) -> Result<Role, ApiError> {
    let snapshot = app.workspaces.admit(name).map_err(RunError::from)?;
    Ok(snapshot.admit(name).map_err(RunError::from)?.role)
}

/// The profile of a role of which a run may start, in the customer's workspace.
///
/// # Errors
/// As [`known_role`].
pub(super) fn admitted(
    app: &App,
    customer: &Customer,
    name: &str,
) -> Result<AgentProfile, ApiError> {
    Ok(app.workspaces.for_run(customer, name).map_err(RunError::from)?.profile)
}

/// All roles of which a run may start, in whichever workspace.
///
/// # Errors
/// 503 when the workspace's rules cannot be used.
pub(super) fn roles(app: &App) -> Result<Vec<AgentReport>, ApiError> {
    app.workspace.snapshot().usable().map_err(RunError::from)?;
    let mut roles: Vec<AgentReport> = Vec::new();
    for agent in app.workspaces.snapshots().flat_map(|snapshot| snapshot.agents()) {
        if !roles.iter().any(|known| known.role == agent.role) {
            roles.push(agent);
        }
    }
    Ok(roles)
}
