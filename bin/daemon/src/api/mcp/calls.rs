//! The calls in flight, so that `notifications/cancelled` finds them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::state::App;

/// Whose call it is: request ids are small numbers that anybody can guess, and session ids may leak.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallerId {
    pub(super) user: String,
    pub(super) session: String,
}

/// A caller and the id of its request.
type CallId = (CallerId, String);

/// All calls of this instance, bounded by the number of open requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<CallId, Arc<Running>>>>);

/// A call in flight.
#[derive(Debug, Default)]
pub(super) struct Running {
    /// Cancels the call before it has a run.
    pub(super) cancelled: CancellationToken,
    /// The id of its run, once there is one.
    run_id: OnceLock<String>,
}

impl Running {
    /// Records the run of the call. A call that was cancelled in between cancels it at once.
    pub(super) fn started(&self, app: &App, run_id: &str) {
        let _first = self.run_id.set(run_id.to_owned());
        if self.cancelled.is_cancelled() {
            app.runs.cancel_soon(run_id);
        }
    }
}

/// A call's entry in the table; dropping it removes the call.
#[derive(Debug)]
pub(super) struct CallEntry {
    calls: Calls,
    id: CallId,
    pub(super) running: Arc<Running>,
}

impl Calls {
    /// Registers a call.
    pub(super) fn begin(&self, caller: CallerId, id: &Value) -> CallEntry {
        let (id, running) = ((caller, id.to_string()), Arc::new(Running::default()));
        self.table(|table| table.insert(id.clone(), running.clone()));
        CallEntry { calls: self.clone(), id, running }
    }

    /// Cancels a call of this caller, if it is in flight in this instance.
    pub(super) fn cancel(&self, app: &App, caller: CallerId, id: Option<&Value>) {
        let Some(id) = id else { return };
        let id = (caller, id.to_string());
        let Some(running) = self.table(|table| table.get(&id).cloned()) else { return };
        // First, so that a run that starts at this moment sees it.
        running.cancelled.cancel();
        if let Some(run_id) = running.run_id.get() {
            app.runs.cancel_soon(run_id);
        }
    }

    fn table<T>(&self, work: impl FnOnce(&mut HashMap<CallId, Arc<Running>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for CallEntry {
    fn drop(&mut self) {
        self.calls.table(|table| {
            // Another request may have reused the id.
            if table.get(&self.id).is_some_and(|there| Arc::ptr_eq(there, &self.running)) {
                table.remove(&self.id);
            }
        });
    }
}
