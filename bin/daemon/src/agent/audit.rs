//! Acts of the daemon that auditors ask for: told in the log (target `audit`), and recorded in the
//! backend's audit log where it has one (feature `audit`).

use std::time::Duration;

use mc_client::audit::{AuditObject, RecordAct};
use mc_client::error::McError;
use mc_client::files::hex;
use mc_client::idempotency::RunKey;
use retry::Backoff;
use serde_json::{Value, json};
use service::trace::TraceId;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use wombat_core::session::SessionKey;

use crate::state::App;

/// The timeout of recording an act.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// The act of refusing a journal that no daemon wrote.
const JOURNAL_REJECTED: &str = "daemon.journal_rejected";

/// The act of starting.
const STARTED: &str = "daemon.started";

/// Between two attempts to record a start: the backend may start later.
const START_BACKOFF: Backoff =
    Backoff::new(Duration::from_secs(1), Duration::from_secs(60)).with_jitter(0.2);

/// What this daemon runs with: its settings without secrets, and its workspaces, each by a digest.
fn start(app: &App) -> RecordAct {
    let settings = app.settings.effective.settings.iter();
    let settings: Vec<_> = settings.map(|one| json!([one.name, one.value])).collect();
    let digests = app.workspaces.snapshots().map(|snapshot| snapshot.digest().to_owned());
    let workspaces: serde_json::Map<_, _> =
        app.workspaces.names().map(str::to_owned).zip(digests.map(Value::from)).collect();
    let details = json!({
        "settings_digest": hex(&Sha256::digest(Value::from(settings).to_string())),
        "workspace_digests": workspaces,
        "version": env!("CARGO_PKG_VERSION"),
    });
    RecordAct {
        act: STARTED.to_owned(),
        details: details.as_object().cloned().unwrap_or_default(),
        // Recorded once, however often it is sent.
        idempotency_key: Some(format!("{STARTED}:{}", TraceId::random())),
        ..RecordAct::default()
    }
}

/// Records that this daemon has started, once the backend answers; nothing waits for it.
pub(crate) async fn started(app: &App) {
    let act = start(app);
    let mut failures = 0;
    loop {
        match record_start(app, &act).await {
            Ok(()) => return,
            Err(error) if !error.is_retryable() => {
                tracing::warn!(%error, act = STARTED, "the backend's audit log could not be written");
                return;
            }
            Err(error) => {
                failures += 1;
                tracing::debug!(%error, act = STARTED, "the backend does not answer yet; tried again");
                tokio::time::sleep(START_BACKOFF.delay_at_least(failures, error.retry_after()))
                    .await;
            }
        }
    }
}

async fn record_start(app: &App, act: &RecordAct) -> Result<(), McError> {
    let traceparent = TraceId::random().traceparent();
    if !app.backend.capabilities(&traceparent).await?.has("audit") {
        return Ok(());
    }
    let agent = app.backend.system_agent()?.with_trace(&traceparent);
    agent.with_deadline(Instant::now() + RECORD_TIMEOUT).record_act(act).await.map(drop)
}

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
