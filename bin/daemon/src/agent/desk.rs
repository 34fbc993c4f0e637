//! Where a run asks people: its own session, or that of the run at the top, which waits for the answer.

use mc_client::client::AgentClient;
use mc_client::tool_requests::AskedBy;
use wombat_core::session::SessionKey;

use super::context::RunContext;
use crate::run::error::{RunError, RunErrorKind};

/// As whom a run asks people.
pub(super) struct Desk {
    /// The backend, as the role that waits.
    pub(super) client: AgentClient,
    /// The run that waits.
    pub(super) run_key: String,
    /// Its session.
    pub(super) session_key: String,
    /// The run that asks, where that is another one.
    pub(super) asked_by: Option<AskedBy>,
}

impl RunContext<'_> {
    /// Where this run asks people.
    pub(super) fn desk(&self) -> Result<Desk, RunError> {
        let request = self.run.request;
        let Some(parent) = &request.child else {
            return Ok(Desk {
                client: self.client.clone(),
                run_key: self.run.run_key.as_str().to_owned(),
                session_key: request.session.to_string(),
                asked_by: None,
            });
        };
        let root = SessionKey::parse(&parent.root_session_key)
            .map_err(|error| RunError::new(RunErrorKind::Internal).caused_by(error))?;
        let client = self.run.app.backend.agent(root.user().as_str(), root.role().as_str());
        let client = client.map_err(|error| RunError::backend(&error))?;
        let client = client.of_work(request.began).with_trace(&self.run.span.traceparent());
        Ok(Desk {
            client: client.with_deadline(self.run.deadline).with_fence_of(&self.client),
            run_key: parent.root_run_key.clone(),
            session_key: parent.root_session_key.clone(),
            asked_by: Some(AskedBy {
                run_key: self.run.run_key.as_str().to_owned(),
                role: request.session.role().as_str().to_owned(),
            }),
        })
    }
}
