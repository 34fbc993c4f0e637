//! Where the page's own addresses are, as the browser knows them: below the prefix of a reverse proxy.

use service::forwarded::Prefix;

tokio::task_local! {
    /// The prefix of the request that is being answered.
    static PREFIX: Prefix;
}

/// Answers a request whose browser knows the page under a prefix.
pub(in crate::board) async fn under<F: Future>(prefix: Prefix, answer: F) -> F::Output {
    PREFIX.scope(prefix, answer).await
}

/// A path of the page, as the browser knows it. A prefix needs no escaping, in HTML or elsewhere.
pub(in crate::board) fn at(path: &str) -> String {
    PREFIX.try_with(|prefix| prefix.at(path)).unwrap_or_else(|_| path.to_owned())
}
