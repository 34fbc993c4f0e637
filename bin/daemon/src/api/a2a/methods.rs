//! The protocol's methods, for both bindings.

use std::sync::Arc;

use futures::StreamExt as _;
use http::Method;
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::types::Capabilities;
use serde_json::{Map, Value, json};
use wombat_core::session::SessionKey;

use super::super::cancelling::Of;
use super::super::error::ApiError;
use super::super::header::{self, A2A_VERSION, USER_HEADER};
use super::super::protocol_request::{ProtocolRequest, known_role};
use super::super::run_stream::RunStream;
use super::fault::{Fault, Kind};
use super::open_tasks::{OpenTask, OpenTasks};
use super::params::{id_of, named};
use super::runs::{self, Found};
use super::{Incoming, Reply, VERSION, answering, contexts, lists, push, send_message, stored};
use crate::agent::detach::can_detach;
use crate::run::error::RunError;
use crate::run::handle::Stop;
use crate::run::standing::Standing;
use crate::state::App;

impl Incoming {
    pub(super) async fn rest(
        self,
        method: &Method,
        path: &str,
        mut query: Map<String, Value>,
        body: Result<Map<String, Value>, ApiError>,
    ) -> Result<Reply, Fault> {
        let parts: Vec<_> = path.split('/').collect();
        let (name, id) = match (method.as_str(), parts.as_slice()) {
            ("POST", ["message:send"]) => ("SendMessage", None),
            ("POST", ["message:stream"]) => ("SendStreamingMessage", None),
            ("GET", ["tasks"]) => ("ListTasks", None),
            ("GET" | "POST", ["tasks", last]) => match (method.as_str(), last.rsplit_once(':')) {
                ("POST", Some((id, "cancel"))) => ("CancelTask", Some(id)),
                (_, Some((id, "subscribe"))) => ("SubscribeToTask", Some(id)),
                ("GET", _) => ("GetTask", Some(*last)),
                _ => ("", None),
            },
            ("POST", ["tasks", _, "pushNotificationConfigs"]) => {
                ("CreateTaskPushNotificationConfig", None)
            }
            ("GET", ["tasks", _, "pushNotificationConfigs"]) => {
                ("ListTaskPushNotificationConfigs", None)
            }
            ("GET", ["tasks", _, "pushNotificationConfigs", id]) => {
                ("GetTaskPushNotificationConfig", Some(*id))
            }
            ("DELETE", ["tasks", _, "pushNotificationConfigs", id]) => {
                ("DeleteTaskPushNotificationConfig", Some(*id))
            }
            ("GET", ["extendedAgentCard"]) => ("GetExtendedAgentCard", None),
            _ => ("", None),
        };
        let params = match name {
            "" => {
                let why = format!("there is no {method} {path}");
                return Err(Fault::new(Kind::Method, why));
            }
            "SendMessage" | "SendStreamingMessage" => body?,
            "CreateTaskPushNotificationConfig" => {
                let mut config = body?;
                config.insert("taskId".to_owned(), json!(parts[1]));
                config
            }
            _ => {
                if name.contains("PushNotificationConfig") {
                    query.insert("taskId".to_owned(), json!(parts[1]));
                }
                if let Some(id) = id {
                    query.insert("id".to_owned(), json!(id));
                }
                query
            }
        };
        self.perform(name, params).await
    }

    /// Calls a method of the protocol.
    pub(super) async fn perform(
        self,
        method: &str,
        params: Map<String, Value>,
    ) -> Result<Reply, Fault> {
        let version = header::text(&self.headers, A2A_VERSION);
        if version.as_deref().is_some_and(|version| version.split('.').next() != Some("1")) {
            let why = format!("A2A-Version: only {VERSION} is supported");
            return Err(Fault::new(Kind::Version, why));
        }
        let params = named(params);
        match method {
            "SendMessage" => self.send(&params).await,
            "SendStreamingMessage" => {
                let (task, _) = self.begin(&params).await?;
                Ok(Reply::Many(task.follow().boxed()))
            }
            "GetTask" => {
                let id = id_of(&params)?;
                stored::get(&self.caller()?, &id, &params).await.map(Reply::One)
            }
            "ListTasks" => lists::list(&self.caller()?, &params).await.map(Reply::One),
            "CancelTask" => self.cancel(&id_of(&params)?).await,
            "SubscribeToTask" => self.subscribe(&id_of(&params)?).await,
            "GetExtendedAgentCard" => {
                Err(Fault::new(Kind::NoExtendedCard, "there is no other card than the public one"))
            }
            "CreateTaskPushNotificationConfig" => {
                push::create(&self.caller()?, &params).await.map(Reply::One)
            }
            "GetTaskPushNotificationConfig" => {
                push::get(&self.caller()?, &params).await.map(Reply::One)
            }
            "ListTaskPushNotificationConfigs" => {
                push::list(&self.caller()?, &params).await.map(Reply::One)
            }
            "DeleteTaskPushNotificationConfig" => {
                push::delete(&self.caller()?, &params).await.map(Reply::One)
            }
            name => Err(Fault::new(Kind::Method, format!("there is no method {name:?}"))),
        }
    }

    async fn send(self, params: &Map<String, Value>) -> Result<Reply, Fault> {
        let (task, returns_at_once) = self.begin(params).await?;
        if !returns_at_once {
            task.ended().await;
        }
        Ok(Reply::One(json!({ "task": task.snapshot() })))
    }

    /// Starts the run of a message; also says whether the caller wants the task at once.
    async fn begin(mut self, params: &Map<String, Value>) -> Result<(Arc<OpenTask>, bool), Fault> {
        let mut asked = send_message::read(&self.role, &self.headers, params)?;
        // A task belongs to no connection, where the backend can keep its run.
        let capabilities = self.app.backend.capabilities(&self.trace.traceparent()).await;
        asked.request.detached = capabilities.is_ok_and(|capabilities| can_detach(&capabilities));
        asked.request.body_bytes = self.bytes;
        asked.request.place = std::mem::take(&mut self.place);
        let user = asked.request.user.clone();
        let push = match &asked.push {
            Some(config) => Some(push::read(&self.caller()?, config).await?),
            None => None,
        };
        let caller = self.caller()?;
        let context = contexts::resolve(&caller, &mut asked).await?;
        answering::answer(&caller, &mut asked).await?;
        answering::refuse_ended(&caller, &asked).await?;
        let request = asked.request.validate(&self.app, &self.trace).await?;
        if asked.takes_json_only && request.output.is_none() {
            return Err(send_message::not_accepted());
        }
        let updates = RunStream::start(self.app.clone(), request, self.trace.clone()).await?;
        let who = (user, self.role.clone());
        let task = self.open_tasks.begin(&self.app, who, context, updates).await?;
        runs::remember(&self.caller()?, &task.id, &task.run_key, push).await?;
        Ok((task, asked.returns_at_once))
    }

    async fn cancel(self, id: &str) -> Result<Reply, Fault> {
        let caller = self.caller()?;
        let over = || {
            let why =
                "no run of this task is in flight, as far as this instance of the daemon can tell";
            Fault::new(Kind::TaskNotCancelable, why)
        };
        let found = stored::run_of(&caller, id).await?;
        let Some(found) = found else {
            let task = caller.open_task(id).ok_or_else(over)?;
            if self.app.runs.cancel(&task.run_id).await == Some(Stop::Finished) {
                return Err(over());
            }
            task.ended().await;
            return Ok(Reply::One(task.snapshot()));
        };
        match Standing::of(&found.run) {
            Standing::Completed | Standing::Failed => return Err(over()),
            Standing::Cancelled => {}
            Standing::Queued
            | Standing::Running
            | Standing::AwaitingApproval
            | Standing::AwaitingAnswer
            | Standing::Interrupted => {
                let task = caller.open_task(id).filter(|task| task.run_key == found.key.as_str());
                let of = Of {
                    app: &self.app,
                    trace: &self.trace,
                    client: &caller.client,
                    session: &caller.session,
                };
                match of.cancel(&found.key).await {
                    Err(error) if error.body.code == "run_finished" => return Err(over()),
                    Err(error) => return Err(error.into()),
                    Ok(_) => {}
                }
                if let Some(task) = task {
                    task.ended().await;
                    return Ok(Reply::One(task.snapshot()));
                }
            }
        }
        stored::get(&caller, id, &Map::new()).await.map(Reply::One)
    }

    async fn subscribe(self, id: &str) -> Result<Reply, Fault> {
        let caller = self.caller()?;
        if let Some(task) = caller.open_task(id) {
            return Ok(Reply::Many(task.follow().boxed()));
        }
        let found = stored::run_of(&caller, id).await?;
        let is_live = |found: &Found| {
            let standing = Standing::of(&found.run);
            found.run.detached && (!standing.is_over() || standing.is_waiting())
        };
        let Some(found) = found.filter(is_live) else {
            let why =
                "no run of this task is in flight, as far as this instance of the daemon can tell";
            return Err(Fault::new(Kind::Unsupported, why));
        };
        Ok(Reply::Many(runs::follow(&caller, id, found).await?.boxed()))
    }

    /// Who reads tasks: the user, the role, and the backend as them.
    fn caller(&self) -> Result<Caller, Fault> {
        let user = header::text(&self.headers, USER_HEADER).unwrap_or_default();
        let protocol_request =
            ProtocolRequest { user, user_field: USER_HEADER, ..ProtocolRequest::default() };
        let role = known_role(&self.app, &self.role)?;
        let user =
            protocol_request.user().map_err(|why| ApiError::fields("invalid_payload", why))?;
        let client = self.app.backend.agent(user.as_str(), role.as_str());
        let client = client.map_err(|error| backend(&error))?;
        Ok(Caller {
            app: self.app.clone(),
            traceparent: self.trace.traceparent(),
            client: client.with_trace(&self.trace.traceparent()),
            open_tasks: self.open_tasks.clone(),
            session: SessionKey::new(user.clone(), role.clone()),
            user: user.as_str().to_owned(),
            role: role.as_str().to_owned(),
        })
    }
}

/// A client that reads tasks: its user, its role, and the backend as them.
pub(super) struct Caller {
    pub(super) app: App,
    traceparent: String,
    pub(super) client: AgentClient,
    open_tasks: OpenTasks,
    pub(super) session: SessionKey,
    user: String,
    pub(super) role: String,
}

impl Caller {
    /// The backend's optional features.
    pub(super) async fn capabilities(&self) -> Result<Arc<Capabilities>, Fault> {
        self.app.backend.capabilities(&self.traceparent).await.map_err(|error| backend(&error))
    }

    /// The user's task, where a run of it is in flight in this instance.
    pub(super) fn open_task(&self, id: &str) -> Option<Arc<OpenTask>> {
        self.open_tasks.find(&(self.user.clone(), self.role.clone(), id.to_owned()))
    }
}

/// A failed call of the backend.
pub(super) fn backend(error: &McError) -> Fault {
    ApiError::from(RunError::backend(error)).into()
}
