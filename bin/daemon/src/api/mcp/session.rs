//! Session ids: each belongs to the user that it was given to. They hold no state, so that every
//! instance understands those of the others: an id names its user by a hash.

use axum::response::Response;
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::super::error::ApiError;
use super::calls::CallerId;

/// Stands between the random part of an id and the user's mark.
const SEPARATOR: char = '.';

/// A new session of a user; of nobody's, while the client has not said for whom it works.
pub(super) fn new(user: &str) -> String {
    let random = Uuid::new_v4().to_string();
    if user.is_empty() { random } else { format!("{random}{SEPARATOR}{}", mark(&random, user)) }
}

/// Whether the session, if one is named, is the caller's own.
pub(super) fn may_use(caller: &CallerId) -> bool {
    match caller.session.split_once(SEPARATOR) {
        Some((random, given)) => given == mark(random, &caller.user),
        None => true,
    }
}

/// The answer to a session that is not the caller's: a client then opens a new one (MCP, Streamable
/// HTTP, "Session Management").
pub(super) fn unknown() -> Response {
    let why = "there is no such session for this user; initialize a new one";
    super::error_response(&ApiError::new(StatusCode::NOT_FOUND, "session_not_found", why))
}

/// The user as a part of the id that says nothing to others.
fn mark(random: &str, user: &str) -> String {
    let hash = Sha256::digest(format!("{random}\n{user}"));
    let first = hash.first_chunk::<16>().copied().unwrap_or_default();
    Uuid::from_bytes(first).simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_users_only() {
        let caller =
            |user: &str, session: &str| CallerId { user: user.into(), session: session.into() };
        let session = new("ann");
        assert!(may_use(&caller("ann", &session)));
        assert!(!may_use(&caller("bob", &session)) && !may_use(&caller("", &session)));
        assert!(may_use(&caller("bob", &new(""))) && may_use(&caller("bob", "")));
    }
}
