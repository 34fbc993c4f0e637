//! The checks, a file for each chapter.

pub(super) mod auth;
pub(super) mod capabilities;
mod doors;
pub(super) mod errors;
pub(super) mod events;
pub(super) mod everywhere;
pub(super) mod journal;
pub(super) mod limits;
pub(super) mod objects;
pub(super) mod paging;
pub(super) mod queue;
pub(super) mod repeats;
pub(super) mod tenancy;
pub(super) mod wake;

/// A value of a query.
fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
