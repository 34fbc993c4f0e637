//! What redaction leaves in the log of calls that are repeated.

use std::borrow::Cow;
use std::sync::Arc;

use shown::LogMask;
use wombat_core::redact::Redactor;

/// Masks what stands in the log of calls.
#[derive(Debug)]
struct CallLog(Arc<Redactor>);

impl LogMask for CallLog {
    fn for_log<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.mask(text)
    }
}

/// What the log of calls goes through, where the rules are for traces.
pub(crate) fn log_mask(redactor: Option<&Arc<Redactor>>) -> Option<Arc<dyn LogMask>> {
    let redactor = redactor.filter(|redactor| redactor.rules().to.traces)?.clone();
    Some(Arc::new(CallLog(redactor)))
}
