//! Rules that every response of the whole run must keep.

use crate::suite::Suite;
use crate::verdict::{Verdict, ensure};
use crate::watch::Watch;
use crate::world::World;

fn none(w: &World, what: impl Fn(&Watch) -> &Vec<String>) -> Verdict {
    let watch = w.watch.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seen = what(&watch);
    ensure(seen.is_empty(), || seen.join("; "))?;
    Ok(format!("none in {} responses", watch.answers))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "Errors. {\"error\", \"code\"?, \"details\"?} with a suitable status.";
    suite
        .required("error-shape", sentence, async |w| none(w, |watch| &watch.malformed_errors))
        .await;
    let sentence = "Errors are 400, 401, 402, 403, 404, 405, 409, 413, 415, 429, 500 and 503";
    suite
        .recommended("error-status", &[], sentence, async |w| {
            none(w, |watch| &watch.unknown_statuses)
        })
        .await;
    let sentence = "429 and 503 carry Retry-After.";
    suite
        .required("retry-after", sentence, async |w| none(w, |watch| &watch.without_retry_after))
        .await;
    let sentence = "Nothing that a client sends makes a fault of the backend's own (500)";
    suite
        .recommended("no-fault", &[], sentence, async |w| none(w, |watch| &watch.server_errors))
        .await;
    let sentence = "JSON has a Content-Type that says so";
    suite
        .recommended("json-type", &[], sentence, async |w| none(w, |watch| &watch.other_types))
        .await;
    let sentence = "No answer holds the secret or the internal token.";
    suite.required("no-secret", sentence, async |w| none(w, |watch| &watch.leaks)).await;
}
