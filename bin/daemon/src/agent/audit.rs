//! Acts of the daemon that auditors ask for: told in the log (target `audit`), and recorded in the
//! backend's audit log where it has one (feature `audit`).

use std::time::Duration;

use mc_client::audit::{AuditObject, RecordAct};
use mc_client::idempotency::RunKey;
use serde_json::{Value, json};
use service::trace::TraceId;
use tokio::time::Instant;
use wombat_core::session::SessionKey;

use crate::state::App;

/// The timeout of recording an act.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// The act of refusing a journal that no daemon wrote.
const JOURNAL_REJECTED: &str = "daemon.journal_rejected";

/// Tells that the journal of a run was not trusted; `why` names the step.
pub(crate) async fn journal_rejected(
    app: &App,
    session: &SessionKey,
    run_key: &RunKey,
    trace: &TraceId,
    why: &str,
) {
    let (user, role) = (session.user().as_str(), session.role().as_str());
    tracing::warn!(
        target: "audit",
        act = JOURNAL_REJECTED,
        user_id = user,
        role,
        run_key = run_key.as_str(),
        reason = why,
        "the journal of a run was rejected: its steps are not as a daemon wrote them"
    );
    let traceparent = trace.traceparent();
    let has_log = app.backend.capabilities(&traceparent).await.is_ok_and(|c| c.has("audit"));
    if !has_log {
        return;
    }
    let details = json!({ "role": role, "why": why });
    let act = RecordAct {
        act: JOURNAL_REJECTED.to_owned(),
        object: Some(AuditObject { kind: "run".to_owned(), id: run_key.as_str().to_owned() }),
        details: match details {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        },
        // Whoever sends the run again is refused again, which is an act of its own.
        idempotency_key: Some(format!("{JOURNAL_REJECTED}:{run_key}:{trace}")),
        ..RecordAct::default()
    };
    let recorded = match app.backend.agent(user, role) {
        Ok(client) => {
            let deadline = Instant::now() + RECORD_TIMEOUT;
            client.with_trace(&traceparent).with_deadline(deadline).record_act(&act).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = recorded {
        tracing::warn!(%error, act = JOURNAL_REJECTED, "the backend's audit log could not be written");
    }
}
