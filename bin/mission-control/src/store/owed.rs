//! What a request owes: it was refused, or answered as before, because of a write that was not committed yet.
//! Were that one lost, the answer would be wrong. So the answer waits.

use std::cell::RefCell;

use tokio::sync::watch;

use super::error::StoreError;
use super::outcome::Outcome;

type Owed = Vec<watch::Receiver<Option<Outcome>>>;

tokio::task_local! {
    static OWED: RefCell<Owed>;
}

/// Notes that what the request at hand is answered depends on a transaction. Outside of requests nobody is
/// answered.
pub(super) fn note(outcome: watch::Receiver<Option<Outcome>>) {
    let _noted = OWED.try_with(|owed| owed.borrow_mut().push(outcome));
}

/// Does what makes an answer, and waits until all that it depends on is committed: fails where it is not.
pub(crate) async fn settled<T>(work: impl Future<Output = T>) -> Result<T, StoreError> {
    let work = async {
        let done = work.await;
        (done, OWED.with(RefCell::take))
    };
    let (done, owed) = OWED.scope(RefCell::default(), work).await;
    for outcome in owed {
        Outcome::wait(outcome).await?;
    }
    Ok(done)
}
